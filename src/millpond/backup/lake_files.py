"""Which files the tables of a lake consist of: every file that a metadata file leads to, of all versions."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.internals.pyiceberg import StaticTable, read_manifest_list
from millpond.lake.hashing import combine_digests, compute_digests, hash_digests

_COMPRESSED = ".gz.metadata.json"


@dataclass
class LakeFiles:
    """Files by location with their size in bytes, None where only the storage knows it.

    `needed` are those that tables and branches consist of; `former` those that only the log of commits names,
    for an undo or a look back, as far as they are still there.
    """

    needed: dict[str, int | None] = field(default_factory=dict)
    former: dict[str, int | None] = field(default_factory=dict)


def find_files(io: PyArrowFileIO, pointers: Iterable[str], former: Iterable[str]) -> LakeFiles:
    """Return the files that the metadata files `pointers` lead to, and those of the metadata files `former`.

    Raises FileNotFoundError if a file that the current version of a pointer needs is missing.
    """
    found = LakeFiles()
    walk = _Walk(io, found.needed)
    for location in sorted(set(pointers)):
        walk.add_table(location, required=True)
    walk = _Walk(io, found.former, walk.done)
    for location in sorted(set(former)):
        walk.add_table(location, required=False)
    for location in found.needed:
        found.former.pop(location, None)
    return found


def parse_metadata(location: str, content: bytes) -> dict[str, Any]:
    """Return the content of a metadata file."""
    text = gzip.decompress(content) if location.endswith(_COMPRESSED) else content
    parsed: dict[str, Any] = orjson.loads(text)
    return parsed


def format_metadata(location: str, metadata: Mapping[str, Any]) -> bytes:
    """Return the bytes of a metadata file; the inverse of `parse_metadata`."""
    text = orjson.dumps(metadata)
    return gzip.compress(text) if location.endswith(_COMPRESSED) else text


def hash_content(io: PyArrowFileIO, location: str) -> tuple[int | None, str | None]:
    """Return the number of rows of a table at a metadata file, and a hash of them whatever their order.

    Both are None for a table with deletes that PyIceberg does not read, and for a view.
    """
    if "snapshots" not in parse_metadata(location, read_bytes(io, location)):
        return None, None
    table = StaticTable.from_metadata(location, io.properties)
    try:
        batches = table.scan().to_arrow_batch_reader()
        digests = combine_digests(compute_digests(_as_table(batch), None) for batch in batches)
    except (ValueError, NotImplementedError):
        return None, None
    return sum(digest.rows for digest in digests.values()), hash_digests(digests)


def read_bytes(io: PyArrowFileIO, location: str) -> bytes:
    """Return the content of a file."""
    with io.new_input(location).open() as stream:
        return stream.read()


def _as_table(batch: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


class _Walk:
    """Adds the files of tables to `files`; what several tables or versions share is read once."""

    def __init__(
        self, io: PyArrowFileIO, files: dict[str, int | None], done: frozenset[str] | set[str] = frozenset()
    ) -> None:
        self.io, self.files, self.done = io, files, set(done)

    def add_table(self, location: str, *, required: bool) -> None:
        try:
            metadata = parse_metadata(location, read_bytes(self.io, location))
        except FileNotFoundError:
            if required:
                raise
            return
        self.files[location] = None
        for entry in metadata.get("metadata-log", ()):
            self._add_if_there(entry["metadata-file"])
        for entry in (*metadata.get("statistics", ()), *metadata.get("partition-statistics", ())):
            self._add_if_there(entry["statistics-path"])
        current = metadata.get("current-snapshot-id")
        for snapshot in metadata.get("snapshots", ()):
            try:
                self._add_snapshot(snapshot["manifest-list"])
            except FileNotFoundError:  # expired, and named again by an undo
                if required and snapshot["snapshot-id"] == current:
                    raise

    def _add_snapshot(self, location: str) -> None:
        if location in self.done:
            return
        found: dict[str, int | None] = {location: None}
        read = {location}
        for manifest in read_manifest_list(self.io.new_input(location)):
            if manifest.manifest_path in self.done:
                continue
            found[manifest.manifest_path] = manifest.manifest_length
            for entry in manifest.fetch_manifest_entry(self.io, discard_deleted=True):
                found[entry.data_file.file_path] = entry.data_file.file_size_in_bytes
            read.add(manifest.manifest_path)
        self.done |= read
        self.files.update(found)

    def _add_if_there(self, location: str) -> None:
        if location not in self.files and self.io.new_input(location).exists():
            self.files[location] = None
