"""Parts of PyIceberg that read and write files and snapshots; its public calls do not support windows."""

from typing import Any

import pyarrow as pa
from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions.visitors import ROWS_MIGHT_NOT_MATCH, ROWS_MUST_MATCH
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator as InclusiveMetricsEvaluator
from pyiceberg.expressions.visitors import _StrictMetricsEvaluator as StrictMetricsEvaluator
from pyiceberg.io.pyarrow import (
    ArrowScan,
    PyArrowFile,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    write_file,
)
from pyiceberg.io.pyarrow import _dataframe_to_data_files as dataframe_to_data_files
from pyiceberg.io.pyarrow import _get_parquet_writer_kwargs as get_parquet_options
from pyiceberg.manifest import (
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    read_manifest_list,
)
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.schema import Schema, assign_fresh_schema_ids, sanitize_column_names
from pyiceberg.serializers import Compressor, FromInputFile
from pyiceberg.table import CommitTableResponse, StagedTable, StaticTable, TableProperties, WriteTask
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import (
    TableMetadata,
    TableMetadataUtil,
    TableMetadataV1,
    TableMetadataV2,
    TableMetadataV3,
    new_table_metadata,
)
from pyiceberg.table.snapshots import Summary
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSortOrderUpdate,
    AssertCurrentSchemaId,
    AssertDefaultSortOrderId,
    AssertDefaultSpecId,
    AssertLastAssignedFieldId,
    AssertLastAssignedPartitionId,
    AssertTableUUID,
    RemovePropertiesUpdate,
    RemoveSnapshotsUpdate,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    UpgradeFormatVersionUpdate,
    update_table_metadata,
)
from pyiceberg.table.update.snapshot import _OverwriteFiles as OverwriteFiles
from pyiceberg.typedef import IcebergBaseModel
from pyiceberg.utils.concurrent import ExecutorFactory
from pyiceberg.view.metadata import ViewVersion

from millpond.internals.pyiceberg_avro import remember_schemas as remember_schemas


def convert_schema(schema: pa.Schema) -> Schema:
    """Return an Arrow schema as PyIceberg's, as it does for a new table: without field ids."""
    return Catalog._convert_schema_if_needed(schema)


def empty_table_metadata() -> TableMetadata:
    """Return the metadata that the first changes of a new table are applied to."""
    return MetastoreCatalog._empty_table_metadata()


def dump_metadata(metadata: TableMetadata) -> str:
    """Return metadata as JSON, also in version 3 of the format, which PyIceberg reads but does not write."""
    if isinstance(metadata, TableMetadataV3):
        return IcebergBaseModel.model_dump_json(metadata)
    return metadata.model_dump_json()


def parse_metadata_version(location: str) -> int:
    """Return the version number in the name of a metadata file; -1 if it has none."""
    return MetastoreCatalog._parse_metadata_version(location)


def _share_parts(metadata: Any, memo: Any = None) -> Any:  # noqa: ARG001
    """Return a copy of metadata with the same schemas and snapshots, which nothing changes in place."""
    return metadata.__copy__()


for _metadata in (TableMetadataV1, TableMetadataV2, TableMetadataV3):
    # PyIceberg copies all metadata at each update, a hundred versions more than all else of a commit.
    _metadata.__deepcopy__ = _share_parts  # type: ignore[assignment]
