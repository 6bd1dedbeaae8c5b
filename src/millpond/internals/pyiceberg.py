"""Parts of PyIceberg that read and write files and snapshots; its public calls do not support windows."""

import pyarrow as pa
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions.visitors import ROWS_MIGHT_NOT_MATCH, ROWS_MUST_MATCH
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator as InclusiveMetricsEvaluator
from pyiceberg.expressions.visitors import _StrictMetricsEvaluator as StrictMetricsEvaluator
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFile, write_file
from pyiceberg.io.pyarrow import _dataframe_to_data_files as dataframe_to_data_files
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.serializers import FromInputFile, ToOutputFile
from pyiceberg.table import CommitTableResponse, StagedTable, WriteTask
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.update import RemoveSnapshotsUpdate, update_table_metadata
from pyiceberg.table.update.snapshot import _ManifestMergeManager as ManifestMergeManager
from pyiceberg.table.update.snapshot import _OverwriteFiles as OverwriteFiles


def convert_schema(schema: pa.Schema) -> Schema:
    """Return an Arrow schema as PyIceberg's, as it does for a new table: without field ids."""
    return Catalog._convert_schema_if_needed(schema)


def parse_metadata_version(location: str) -> int:
    """Return the version number in the name of a metadata file; -1 if it has none."""
    return MetastoreCatalog._parse_metadata_version(location)
