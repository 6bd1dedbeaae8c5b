"""Tables that consist of a few Parquet files and nothing else, which DuckDB reads faster without Iceberg."""

from __future__ import annotations

from typing import Final

from pyiceberg.manifest import ManifestContent
from pyiceberg.types import DecimalType

from millpond.internals.pyiceberg import DataFileContent, FileFormat
from millpond.lake.files import lake_io
from millpond.lake.manifests import read_entries, read_manifests
from millpond.lake.metadata import is_remembered, read_metadata
from millpond.naming import literal, quoted

ALIAS: Final = "files_of_table"
"""The name of these files in views; `embedded/catalog.sql` recognizes it."""
_MOST: Final = 16
"""Of more files Iceberg's metadata says which of them a query needs."""
_TYPES: Final = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
}
_FIRST_SCHEMA: Final = 0
"""Some programs remove former schemas from the metadata; files may have been written with these."""
_PATTERN: Final = frozenset("*?[")


def write_query(location: str) -> str | None:
    """Return a query of the Parquet files of the table at a metadata file, None if it may not be read so.

    None as well if this process has not read or written that metadata: then reading it takes longer. Of a
    table whose columns changed, or have other types, only Iceberg says where they are in each file.
    """
    if not is_remembered(location):
        return None
    metadata, io = read_metadata(location), lake_io()
    if len(metadata.schemas) > 1 or metadata.current_schema_id != _FIRST_SCHEMA:
        return None
    columns = []
    for field in metadata.schema().fields:
        decimal = isinstance(field.field_type, DecimalType)
        kind = str(field.field_type).upper() if decimal else _TYPES.get(str(field.field_type))
        if kind is None:
            return None
        columns.append(f"CAST({quoted(field.name)} AS {kind}) AS {quoted(field.name)}")
    manifests = read_manifests(metadata, io)
    if any(each.content != ManifestContent.DATA for each in manifests):
        return None
    files = [entry.data_file for manifest in manifests for entry in read_entries(manifest, io)]
    if not 0 < len(files) <= _MOST or any(
        file.content != DataFileContent.DATA
        or file.file_format != FileFormat.PARQUET
        or not _PATTERN.isdisjoint(file.file_path)
        for file in files
    ):
        return None
    paths = ", ".join(literal(file.file_path) for file in files)
    source = f"read_parquet([{paths}], hive_partitioning = false) AS {ALIAS}"
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - names of the table's own
