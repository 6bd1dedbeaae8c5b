"""Manifests: which files of a table may hold what; decoded once per process, as a manifest never changes."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import isqrt
from typing import Any, Generic, TypeVar

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.transforms import DayTransform, MonthTransform
from pyiceberg.types import DateType, PrimitiveType

from millpond.internals.pyiceberg import ManifestEntry, ManifestEntryStatus, from_bytes, inherit_from_manifest
from millpond.lake.windows import Windows

MANIFESTS = 16
"""From this many small manifests on they are merged, so that planning a scan reads few files."""
_FILES = 16
"""Files that a manifest names at most in a table of few files: so many are written again if one changes."""

Spans = Sequence[tuple[int, int]]
"""First and last value of ranges of partitions."""

EPOCH = dt.date(1970, 1, 1)

T = TypeVar("T")


def find_most_files(files: int) -> int:
    """Return how many files a manifest names at most in a table of so many.

    With the square root, the list of manifests and a manifest grow alike, and a change reads one of each.
    """
    return max(_FILES, isqrt(files))


def count_files(manifest: ManifestFile) -> int:
    """Return how many files of the table a manifest names."""
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def select_small(manifests: Iterable[ManifestFile]) -> list[ManifestFile]:
    """Return the small manifests of data files, if they are so many that they should be merged."""
    data = [m for m in manifests if m.content == ManifestContent.DATA]
    least = find_most_files(sum(map(count_files, data))) / 2
    small = [m for m in data if count_files(m) < least]
    return small if len(small) >= MANIFESTS else []


def split_by_partition(entries: Iterable[ManifestEntry], most: int) -> Iterator[Sequence[ManifestEntry]]:
    """Yield the entries in parts of equal size, neighbouring partitions together.

    There are as many as are needed for `most` files of the table each, or for `most` that are gone.
    """
    ordered = sorted(entries, key=lambda entry: [(v is not None, v) for v in _list_values(entry.data_file)])
    gone = sum(entry.status == ManifestEntryStatus.DELETED for entry in ordered)
    parts = -(-max(gone, len(ordered) - gone) // most)
    ends = [len(ordered) * part // parts for part in range(parts + 1)] if parts else []
    yield from (ordered[start:end] for start, end in pairwise(ends))


def read_manifests(metadata: TableMetadata, io: FileIO) -> tuple[ManifestFile, ...]:
    """Return the manifests of a table's present version, without those that name only files that are gone."""
    snapshot = metadata.current_snapshot()
    if snapshot is None:
        return ()
    return tuple(
        m
        for m in _lists.get(snapshot.manifest_list, lambda: snapshot.manifests(io))
        if m.content != ManifestContent.DATA or m.has_added_files() or m.has_existing_files()
    )


def read_entries(manifest: ManifestFile, io: FileIO) -> tuple[ManifestEntry, ...]:
    """Return the entries of the files of the table in a manifest; not to be changed in place."""
    return _entries.get(manifest.manifest_path, lambda: manifest.fetch_manifest_entry(io))


def remember_written(
    snapshot: Snapshot, manifests: Sequence[ManifestFile], entries: Mapping[str, Sequence[ManifestEntry]]
) -> None:
    """Note what the files of a new snapshot hold, so that the next change does not read them.

    `manifests` are those of its list, `entries` what was written to the new ones, by their location. Entries
    inherit what is not in their file. For tables of version 2 of the format.
    """
    if any(manifest.sequence_number < 0 for manifest in manifests):
        return
    for manifest in manifests:
        if manifest.manifest_path in entries:
            written = entries[manifest.manifest_path]
            kept = (e for e in written if e.status != ManifestEntryStatus.DELETED)
            _entries.put(manifest.manifest_path, tuple(inherit_from_manifest(e, manifest) for e in kept))
    _lists.put(snapshot.manifest_list, tuple(manifests))


class _Decoded(Generic[T]):
    """What was read last from files that never change, `most` parts of them in sum."""

    def __init__(self, most: int) -> None:
        self._most, self._parts = most, 0
        self._held: OrderedDict[str, tuple[T, ...]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, location: str, read: Callable[[], Iterable[T]]) -> tuple[T, ...]:
        with self._guard:
            if location in self._held:
                self._held.move_to_end(location)
                return self._held[location]
        found = tuple(read())
        self.put(location, found)
        return found

    def put(self, location: str, found: tuple[T, ...]) -> None:
        with self._guard:
            self._parts += len(found) - len(self._held.get(location, ()))
            self._held[location] = found
            while self._parts > self._most:
                self._parts -= len(self._held.popitem(last=False)[1])


_lists = _Decoded[ManifestFile](4_096)
_entries = _Decoded[ManifestEntry](4_096)


def may_hold(manifest: ManifestFile, spec: PartitionSpec, schema: Schema, files: Iterable[DataFile]) -> bool:
    """Return whether a manifest may name any of these files, by their partitions."""
    bounds = _read_bounds(manifest, spec, schema)
    partitions = {file.partition for file in files if file.spec_id == manifest.partition_spec_id}
    return any(
        all(_may_be_between(partition[at], *bound) for at, bound in enumerate(bounds))
        for partition in partitions
    )


def find_files(
    metadata: TableMetadata, manifests: Iterable[ManifestFile], io: FileIO, spans: Spans | None
) -> Iterator[DataFile]:
    """Yield the files whose partition is within `spans`, which `list_spans` returned."""
    spec, schema = metadata.spec(), metadata.schema()
    for manifest in manifests:
        if spans is None:
            yield from (entry.data_file for entry in read_entries(manifest, io))
            continue
        ((_, least, most),) = _read_bounds(manifest, spec, schema) or [(True, None, None)]
        if least is None or any(first <= most and least <= last for first, last in spans):
            for file in (entry.data_file for entry in read_entries(manifest, io)):
                value = file.partition[0]
                if value is not None and any(first <= value <= last for first, last in spans):
                    yield file


def list_spans(
    metadata: TableMetadata, manifests: Iterable[ManifestFile], windows: Windows, day_column: str | None
) -> Spans | None:
    """Return the partitions that may hold rows of `windows`; None for all.

    Raises LookupError for a table with deletes of other programs, or one that is or was partitioned by
    something else than month or day of `day_column`.
    """
    fields, number = metadata.spec().fields, metadata.default_spec_id
    if any(m.content != ManifestContent.DATA or m.partition_spec_id != number for m in manifests):
        raise LookupError("deletes, or partitions of another kind")
    if windows.parts is None or not fields:
        return None
    transform = fields[0].transform
    source = metadata.schema().find_column_name(fields[0].source_id)
    if len(fields) > 1 or source != day_column or not isinstance(transform, MonthTransform | DayTransform):
        raise LookupError(day_column)
    convert = transform.transform(DateType())
    days = [((part.start - EPOCH).days, (part.last - EPOCH).days) for part in windows.parts]
    return [(convert(first) or 0, convert(last) or 0) for first, last in days]


def _read_bounds(manifest: ManifestFile, spec: PartitionSpec, schema: Schema) -> list[tuple[bool, Any, Any]]:
    """Return for each field whether its partitions may be null, and the least and the greatest, if known."""
    kinds: list[Any] = [field.field_type for field in spec.partition_type(schema).fields]
    return [
        (part.contains_null, _decode(kind, part.lower_bound), _decode(kind, part.upper_bound))
        for part, kind in zip(manifest.partitions or (), kinds, strict=False)
    ]


def _decode(kind: PrimitiveType, bound: bytes | None) -> Any:
    return None if bound is None else from_bytes(kind, bound)


def _list_values(file: DataFile) -> list[Any]:
    return [file.partition[at] for at in range(len(file.partition))]


def _may_be_between(value: Any, nulls: bool, least: Any, most: Any) -> bool:
    if value is None:
        return nulls
    try:
        return least is None or most is None or not (value < least or value > most)
    except TypeError:  # a type whose bounds are written in another form
        return True
