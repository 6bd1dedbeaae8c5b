"""Parts of PyIceberg that read and write files and snapshots; its public calls do not support windows."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.expressions.visitors import ROWS_MIGHT_NOT_MATCH, ROWS_MUST_MATCH
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator as InclusiveMetricsEvaluator
from pyiceberg.expressions.visitors import _StrictMetricsEvaluator as StrictMetricsEvaluator
from pyiceberg.io.fileformat import DataFileStatistics
from pyiceberg.io.pyarrow import (
    ArrowScan,
    MetricModeTypes,
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
from pyiceberg.manifest import _inherit_from_manifest as inherit_from_manifest
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
from pyiceberg.table.snapshots import Snapshot, Summary
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
from pyiceberg.types import BinaryType, StringType
from pyiceberg.utils.concurrent import ExecutorFactory
from pyiceberg.utils.truncate import truncate_upper_bound_text_string
from pyiceberg.view.metadata import ViewVersion

from millpond.internals.pyiceberg_avro import WholeFile as WholeFile
from millpond.internals.result_cache import remember_results as remember_results


def convert_schema(schema: pa.Schema) -> Schema:
    """Return an Arrow schema as PyIceberg's, as it does for a new table: without field ids."""
    return Catalog._convert_schema_if_needed(schema)


def empty_table_metadata() -> TableMetadata:
    """Return the metadata that the first changes of a new table are applied to."""
    return MetastoreCatalog._empty_table_metadata()


def dump_metadata(metadata: TableMetadata) -> str:
    """Return metadata as JSON, also in version 3 of the format, which PyIceberg reads but does not write.

    Each snapshot is converted once per process: they never change, and are most of the text.
    """
    text = IcebergBaseModel.model_dump_json(metadata, exclude={"snapshots"})
    known = _snapshot_texts.get
    texts = [(known(id(snapshot)) or _dump_snapshot(snapshot))[1] for snapshot in metadata.snapshots]
    return f'{text[:-1]},"snapshots":[{",".join(texts)}]}}'


_KEPT = 4_096
_snapshot_texts: dict[int, tuple[Snapshot, str]] = {}


def _dump_snapshot(snapshot: Snapshot) -> tuple[Snapshot, str]:
    """Return a snapshot and its JSON; what is remembered lives, so that no other object has its id."""
    if len(_snapshot_texts) >= _KEPT:
        _snapshot_texts.clear()
    found = _snapshot_texts[id(snapshot)] = snapshot, snapshot.model_dump_json()
    return found


def serialize_statistics(found: DataFileStatistics) -> dict[str, Any]:
    """Return the statistics of a data file as a manifest holds them, as `to_serialized_dict` does.

    Only texts and binary values are shortened; it compares the type of each column with theirs first.
    """
    ends: dict[int, tuple[bytes | None, bytes | None]] = {}
    for column, each in found.column_aggregates.items():
        kind = each.primitive_type
        if each.trunc_length is not None or isinstance(kind, StringType | BinaryType):
            ends[column] = each.min_as_bytes(), each.max_as_bytes()
        else:
            least, most = each.current_min, each.current_max
            ends[column] = (
                None if least is None else to_bytes(kind, least),
                None if most is None else to_bytes(kind, most),
            )
    lower, upper = (
        {column: end[side] for column, end in ends.items() if end[side] is not None} for side in (0, 1)
    )
    counts = replace(found, column_aggregates={}).to_serialized_dict()
    return {**counts, "lower_bounds": lower, "upper_bounds": upper}


def parse_metadata_version(location: str) -> int:
    """Return the version number in the name of a metadata file; -1 if it has none."""
    return MetastoreCatalog._parse_metadata_version(location)


def _share_parts(metadata: Any, memo: Any = None) -> Any:  # noqa: ARG001
    """Return a copy of metadata with the same schemas and snapshots, which nothing changes in place."""
    return metadata.__copy__()


for _metadata in (TableMetadataV1, TableMetadataV2, TableMetadataV3):
    # PyIceberg copies all metadata at each update, a hundred versions more than all else of a commit.
    _metadata.__deepcopy__ = _share_parts  # type: ignore[assignment]
