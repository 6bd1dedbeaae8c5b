"""Metadata files: immutable once written, so each is parsed once per process."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict

from pyiceberg.io import FileIO
from pyiceberg.table.metadata import TableMetadata

from millpond.internals.pyiceberg import FromInputFile, ToOutputFile
from millpond.lake.files import lake_io, name_read_errors

_KEPT = 64
_parsed: OrderedDict[str, TableMetadata] = OrderedDict()
_guard = threading.Lock()


def statistics_at(location: str) -> tuple[int | None, int | None, dt.datetime | None]:
    """Return rows, bytes and time (UTC) of a table at a metadata file; None where it does not say."""
    snapshot = metadata_at(location).current_snapshot()
    if snapshot is None:
        return 0, 0, None
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    rows, size = (int(said[name]) if name in said else None for name in ("total-records", "total-files-size"))
    written = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC).replace(tzinfo=None)
    return rows, size, written


def comments_at(location: str) -> tuple[str | None, dict[str, str]]:
    """Return the description of a table at a metadata file, and those of its columns that have one."""
    metadata = metadata_at(location)
    columns = {field.name: field.doc for field in metadata.schema().fields if field.doc}
    return metadata.properties.get("comment") or None, columns


def metadata_at(location: str) -> TableMetadata:
    """Return the metadata in the file at `location`; not to be changed in place."""
    with _guard:
        if location in _parsed:
            _parsed.move_to_end(location)
            return _parsed[location]
    with name_read_errors(location):
        metadata = FromInputFile.table_metadata(lake_io().new_input(location))
    _remember(location, metadata)
    return metadata


def metadata_text(location: str) -> bytes:
    """Return the JSON text of the metadata file at `location`."""
    with lake_io().new_input(location).open() as stream:
        return stream.read()


def write_metadata(metadata: TableMetadata, location: str, io: FileIO) -> None:
    """Write a metadata file; nobody reads it before a pointer leads to it."""
    ToOutputFile.table_metadata(metadata, io.new_output(location))
    _remember(location, metadata)


def _remember(location: str, metadata: TableMetadata) -> None:
    with _guard:
        _parsed[location] = metadata
        while len(_parsed) > _KEPT:
            _parsed.popitem(last=False)
