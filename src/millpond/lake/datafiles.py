"""Data files that a window touches: which they are, their rows in it, and those of them that stay."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, compress
from operator import not_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, FileScanTask
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import MonthTransform

from millpond.lake.files import find_local, name_read_errors
from millpond.lake.hashing import Digests, combine_digests, compute_digests
from millpond.lake.manifests import EPOCH, find_files, list_spans, read_manifests
from millpond.lake.parquet import read_file
from millpond.lake.rows import fit_piece, gather
from millpond.lake.schema import arrow_schema
from millpond.lake.staging import Staging
from millpond.lake.windows import Windows
from millpond.partitions import Window

_SMALL_FILE_BYTES = 1 << 20
_NEIGHBOUR_BYTES = 8 << 20
_HELD_BYTES = 4 << 20
"""Rows to keep stay in memory between the two passes if their files are smaller than this in sum."""


@dataclass
class TouchedFiles:
    """The files that hold rows of a window, and the rows of them that stay.

    `neighbours` are small files of the same partitions without such rows: a change of the window rewrites
    them too, so that a month of daily writes is one file, not thirty. If the type of a column changes, they
    are all other files.
    """

    staging: Staging
    windows: Windows
    day_column: str | None
    tasks: list[FileScanTask]
    neighbours: list[FileScanTask]
    erases: bool = False
    _removed: list[DataFile] = field(default_factory=list)
    _partial: list[FileScanTask] = field(default_factory=list)
    _held: tuple[list[pa.Table], list[pa.Table]] | None = None
    _hiding: bool = False

    @classmethod
    def find(
        cls, staging: Staging, windows: Windows, day_column: str | None, *, erases: bool = False
    ) -> TouchedFiles:
        """Return the files that may hold rows of `windows`.

        With `erases`, those with rows that another file deletes are removed too: these rows are in them.
        """
        with name_read_errors(".".join(staging.table.name())):
            tasks = _plan(staging, windows, day_column)
        day = staging.table_metadata.schema().find_field(day_column).field_id if day_column else None
        hits = [_may_hold(t.file, windows, day) for t in tasks]
        hit = list(compress(tasks, hits))
        missed = compress(tasks, map(not_, hits))
        if staging.old_schema:
            return cls(staging, windows, day_column, hit, list(missed), erases)
        small = [t for t in missed if t.file.file_size_in_bytes < _SMALL_FILE_BYTES]
        small.sort(key=lambda t: t.file.file_size_in_bytes)
        sizes = accumulate(t.file.file_size_in_bytes for t in small)
        near = [t for t, size in zip(small, sizes, strict=True) if size <= _NEIGHBOUR_BYTES]
        return cls(staging, windows, day_column, hit, near, erases)

    @property
    def removed(self) -> list[DataFile]:
        """The files that are rewritten or dropped; call `digests` first."""
        return self._removed + [t.file for t in self.neighbours]

    @property
    def must_go(self) -> bool:
        """Whether files are removed although the window's rows stay the same; call `digests` first."""
        return self._hiding or bool(self.staging.old_schema and self.removed)

    def are_in_place(self) -> bool:
        """Return whether all files are local, as long as they were written, and keep the rows they have."""
        try:
            return not self.erases and all(
                (path := find_local(task.file.file_path)) is not None
                and os.stat(path).st_size == task.file.file_size_in_bytes
                for task in self.tasks
            )
        except OSError:
            return False

    def digests(self) -> Digests:
        """Return the digests of the rows in the window; notes which files are removed and which rows stay."""
        self._begin()
        return combine_digests(
            compute_digests(piece, self.day_column) for piece in gather(self.read_inside())
        )

    def count(self) -> int:
        """Return how many rows are in the window, and note what `digests` does.

        Files that have no other rows are not read.
        """
        inside = [self._is_inside(t) for t in self.tasks]
        whole, self.tasks = list(compress(self.tasks, inside)), list(compress(self.tasks, map(not_, inside)))
        self._begin()
        self._removed = [t.file for t in whole]
        unread = sum(file.record_count for file in self._removed)
        return unread + sum(int(table.num_rows) for table in self.read_inside())

    def remove_all(self) -> None:
        """Note that all files are removed and no row stays, without reading them: all is replaced."""
        self._removed, self._partial, self._held = [t.file for t in self.tasks], [], ([], [])

    def insert(self, new: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the rows outside the window of the removed files, and `new`; call `digests` first.

        New rows come between those of days before and those after, so that sorted rows stay sorted.
        """
        for task in self.neighbours:
            yield from self._read(task)
        before, after = self._held or ((), ())
        yield from before
        if self._held is None:
            for task in self._partial:
                for table in self._read(task):
                    yield from self._split(table)[1:]
        yield from new
        yield from after

    def read_inside(self) -> Iterator[pa.Table]:
        """Yield the rows in the window, file by file."""
        for task in self.tasks:
            inside, outside = 0, []
            for table in self._read(task):
                hit, *others = self._split(table)
                inside += hit.num_rows
                if hit.num_rows < table.num_rows:
                    outside.append(others if self._held is not None else ())
                yield hit
            hides = self.erases and bool(task.delete_files)
            self._hiding |= hides
            rewritten = bool(inside or self.staging.old_schema or hides)
            if rewritten:
                self._removed.append(task.file)
            if rewritten and outside:
                self._partial.append(task)
                if self._held is not None:
                    for held, parts in zip(self._held, zip(*outside, strict=True), strict=True):
                        held.extend(parts)

    def _begin(self) -> None:
        held = sum(t.file.file_size_in_bytes for t in self.tasks) <= _HELD_BYTES
        self._held = ([], []) if held else None

    def _is_inside(self, task: FileScanTask) -> bool:
        """Return whether all rows of a file are in the window, by the bounds of its days."""
        if self.windows.parts is None or self.day_column is None or task.delete_files:
            return self.windows.parts is None and not task.delete_files
        day = self.staging.table_metadata.schema().find_field(self.day_column).field_id
        span = _read_span(task.file, day)
        if span is None or (task.file.null_value_counts or {}).get(day) != 0:
            return False
        return any(start <= span[0] and span[1] < end for start, end in map(_number_days, self.windows.parts))

    def _split(self, table: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return the rows in the window, and the others; of sorted days those before and after it."""
        none = table.slice(0, 0)
        if self.windows.parts is None:
            return table, none, none
        if self.day_column and len(self.windows.parts) == 1:
            place = _find_days(table[self.day_column], self.windows.parts[0])
            if place is not None:
                start, end = place
                return table.slice(start, end - start), table.slice(0, start), table.slice(end)
        mask = self.windows.mask(table[self.day_column] if self.day_column else table[0])
        return table.filter(mask), table.filter(pc.invert(mask)), none

    def _read(self, task: FileScanTask) -> Iterator[pa.Table]:
        metadata, io = self.staging.table_metadata, self.staging.table.io
        schema, target = self.staging.old_schema or metadata.schema(), arrow_schema(metadata.schema())
        for table in read_file(metadata, schema, io, task):
            if self.staging.old_schema:
                yield fit_piece(".".join(self.staging.table.name()), table, target)
            elif table.schema.types == target.types and table.schema.names == target.names:
                yield pa.Table.from_arrays(table.columns, schema=target)
            else:
                yield table.cast(target)


def _find_days(column: pa.ChunkedArray, days: Window) -> tuple[int, int] | None:
    """Return where the first row of `days` is, and the first one after them; None unless rows are sorted."""
    if column.num_chunks != 1 or column.null_count:
        return None
    values = column.chunk(0).view(pa.int32()).to_numpy()
    if (values[1:] < values[:-1]).any():
        return None
    start, end = np.searchsorted(values, _number_days(days))
    return int(start), int(end)


def widen_to_partitions(
    metadata: TableMetadata, windows: Windows, day_column: str | None
) -> BooleanExpression | None:
    """Return the filter of the partitions that `windows` touch; None if these hold nothing else."""
    if windows.parts is None or day_column is None:
        return None
    fields = metadata.spec().fields
    if not fields:
        return AlwaysTrue()
    source = metadata.schema().find_field(day_column).field_id
    if len(fields) == 1 and fields[0].source_id == source and isinstance(fields[0].transform, MonthTransform):
        return windows.months().filter(day_column)
    return None


def _plan(staging: Staging, windows: Windows, day_column: str | None) -> list[FileScanTask]:
    """Return the files of the partitions that `windows` touch; of all if the type of a column changes."""
    metadata, io = staging.table_metadata, staging.table.io
    manifests = read_manifests(metadata, io)
    wanted = Windows(None) if staging.old_schema else windows
    try:
        spans = list_spans(metadata, manifests, wanted, day_column)
    except LookupError:
        wide = widen_to_partitions(metadata, wanted, day_column) or wanted.filter(day_column)
        return list(DataScan(metadata, io, row_filter=wide).plan_files())
    return [FileScanTask(file) for file in find_files(metadata, manifests, io, spans)]


def _may_hold(file: DataFile, windows: Windows, day: int | None) -> bool:
    """Return whether a file may hold rows of `windows`, by the bounds of the field whose id is `day`."""
    if windows.parts is None or day is None:
        return windows.parts is None
    span = _read_span(file, day)
    return span is None or any(
        span[0] < end and start <= span[1] for start, end in map(_number_days, windows.parts)
    )


def _read_span(file: DataFile, day: int) -> tuple[int, int] | None:
    """Return the first and the last day of a file's rows, by the bounds of the field whose id is `day`."""
    least, most = ((bounds or {}).get(day) for bounds in (file.lower_bounds, file.upper_bounds))
    if least is None or most is None:
        return None
    return int.from_bytes(least, "little", signed=True), int.from_bytes(most, "little", signed=True)


def _number_days(days: Window) -> tuple[int, int]:
    return (days.start - EPOCH).days, (days.end - EPOCH).days
