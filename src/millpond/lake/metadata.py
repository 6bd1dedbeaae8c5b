"""Metadata files, each parsed once per process since they never change, and the history they tell."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from millpond.internals.pyiceberg import Compressor, FromInputFile, WholeFile, dump_metadata
from millpond.lake.files import lake_io, name_read_errors
from millpond.lake.hashing import HASHING
from millpond.lake.windows import Windows

_KEPT = 64
_SEARCHED = 16
"""Snapshots that are looked through for the last write of a window."""
_parsed: OrderedDict[str, TableMetadata] = OrderedDict()
_guard = threading.Lock()


class FileGone(Exception):
    """The file that a pointer leads to is not there."""


class HistoryLost(Exception):
    """Snapshots between the two points have expired, or it is another table."""


def read_statistics(location: str) -> tuple[int | None, int | None, dt.datetime | None]:
    """Return rows, bytes and time (UTC) of a table at a metadata file; None if it does not have them."""
    snapshot = read_metadata(location).current_snapshot()
    if snapshot is None:
        return 0, 0, None
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    rows, size = (
        int(summary[name]) if name in summary else None for name in ("total-records", "total-files-size")
    )
    written = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC).replace(tzinfo=None)
    return rows, size, written


def read_comments(location: str) -> tuple[str | None, dict[str, str]]:
    """Return the description of a table at a metadata file, and those of its columns that have one."""
    metadata = read_metadata(location)
    columns = {field.name: field.doc for field in metadata.schema().fields if field.doc}
    return metadata.properties.get("comment") or None, columns


def read_metadata(location: str) -> TableMetadata:
    """Return the metadata in the file at `location`; not to be changed in place."""
    with _guard:
        if location in _parsed:
            _parsed.move_to_end(location)
            return _parsed[location]
    with name_read_errors(location):
        metadata = FromInputFile.table_metadata(lake_io().new_input(location))
    _remember(location, metadata)
    return metadata


def is_remembered(location: str) -> bool:
    """Return whether `read_metadata` returns the metadata at `location` without reading the file."""
    with _guard:
        return location in _parsed


def read_metadata_text(location: str) -> bytes:
    """Return the JSON text of the metadata file at `location`. Raises FileGone."""
    compressor = Compressor.get_compressor(location)
    try:
        with lake_io().new_input(location).open() as file, compressor.stream_decompressor(file) as stream:
            return stream.read()
    except FileNotFoundError as error:
        raise FileGone(f"Failed to open input stream for file: {location}") from error


def write_metadata(metadata: TableMetadata, location: str, io: FileIO) -> None:
    """Write a metadata file; it takes effect when a pointer leads to it."""
    text = Compressor.get_compressor(location).bytes_compressor()(dump_metadata(metadata).encode())
    file = io.new_output(location)
    if isinstance(file, WholeFile):
        file.write_whole(text)
    else:
        with file.create() as stream:
            stream.write(text)
    _remember(location, metadata)


def walk_snapshots_since(now: TableMetadata, then: TableMetadata | None) -> Iterator[Snapshot]:
    """Yield the snapshots that lead from `then` (None: from nothing) to `now`, newest first."""
    if then is not None and then.table_uuid != now.table_uuid:
        raise HistoryLost
    stop = then.current_snapshot_id if then is not None else None
    at = now.current_snapshot_id
    while at is not None and at != stop:
        snapshot = now.snapshot_by_id(at)
        if snapshot is None:
            raise HistoryLost
        yield snapshot
        at = snapshot.parent_snapshot_id
    if at != stop:
        raise HistoryLost


def list_manifest_files(
    manifests: Iterable[ManifestFile], io: FileIO, known: set[str] | None = None
) -> Iterator[str]:
    """Yield the manifests and the files that they hold; those in `known` are left out, and added to it.

    Raises FileNotFoundError for a manifest that is gone.
    """
    for manifest in manifests:
        if known is None or manifest.manifest_path not in known:
            yield manifest.manifest_path
            entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
            yield from (entry.data_file.file_path for entry in entries)
            if known is not None:
                known.add(manifest.manifest_path)


def find_windows_since(now: TableMetadata, then: TableMetadata | None) -> Windows:
    """Return the days whose rows may differ between `then` and `now`; everything if that is not known."""
    touched = Windows(())
    try:
        for snapshot in walk_snapshots_since(now, then):
            touched |= Windows.parse(read_summary(snapshot, "millpond.window"))
    except HistoryLost:
        return Windows(None)
    return touched


def find_recorded_hash(metadata: TableMetadata, windows: Windows) -> str | None:
    """Return the content hash of the rows in `windows`, if the last write of any of them was of just these.

    None if that is not known: after a commit of another program or in another schema, or many commits ago.
    """
    text = str(windows)
    try:
        for snapshot in islice(walk_snapshots_since(metadata, None), _SEARCHED):
            written = read_summary(snapshot, "millpond.window")
            if written == text:
                same = snapshot.schema_id == metadata.current_schema_id
                same = same and read_summary(snapshot, "millpond.hashing") == HASHING
                return read_summary(snapshot, "millpond.content_hash") if same else None
            if Windows.parse(written).overlaps(windows):
                return None
    except HistoryLost:
        pass
    return None


def read_summary(snapshot: Snapshot, key: str) -> str | None:
    """Return an entry of a snapshot's summary."""
    return snapshot.summary.get(key) if snapshot.summary else None


def _remember(location: str, metadata: TableMetadata) -> None:
    with _guard:
        _parsed[location] = metadata
        while len(_parsed) > _KEPT:
            _parsed.popitem(last=False)
