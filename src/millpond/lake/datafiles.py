"""Data files: reading those a window touches, and writing rows to new ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, FileScanTask

from millpond.lake.hashing import Digests, combined, digests
from millpond.lake.rows import gathered
from millpond.lake.schema import arrow_schema
from millpond.lake.staging import Staging
from millpond.lake.windows import Windows

_HELD_BYTES = 4 << 20
"""Kept rows of files smaller than this in sum stay in memory between the two passes."""


@dataclass
class Touched:
    """The files that hold rows of a window, and what of them stays."""

    staging: Staging
    windows: Windows
    day_column: str | None
    tasks: list[FileScanTask]
    removed: list[DataFile] = field(default_factory=list)
    _partial: list[FileScanTask] = field(default_factory=list)
    _held: list[pa.Table] | None = None

    @classmethod
    def find(cls, staging: Staging, windows: Windows, day_column: str | None) -> Touched:
        """Return the files that may hold rows of `windows`."""
        scan = DataScan(staging.table_metadata, staging.table.io, row_filter=windows.filter(day_column))
        return cls(staging, windows, day_column, list(scan.plan_files()))

    def digests(self) -> Digests:
        """Return the digests of the rows in the window; finds out which files go and which rows stay."""
        self._held = [] if sum(t.file.file_size_in_bytes for t in self.tasks) <= _HELD_BYTES else None
        return combined(digests(piece, self.day_column) for piece in gathered(self.inside()))

    def kept(self) -> Iterator[pa.Table]:
        """Yield the rows outside the window of the files that go; after `digests`."""
        if self._held is not None:
            yield from self._held
            return
        for task in self._partial:
            for table in self._read(task):
                yield table.filter(pc.invert(self._mask(table)))

    def inside(self) -> Iterator[pa.Table]:
        """Yield the rows in the window, file by file."""
        for task in self.tasks:
            inside, outside = 0, []
            for table in self._read(task):
                mask = self._mask(table)
                hit = table.filter(mask)
                inside += hit.num_rows
                if hit.num_rows < table.num_rows:
                    outside.append(table.filter(pc.invert(mask)) if self._held is not None else None)
                yield hit
            if inside:
                self.removed.append(task.file)
            if inside and outside:
                self._partial.append(task)
                self._held = None if self._held is None else [*self._held, *outside]

    def _mask(self, table: pa.Table) -> pa.ChunkedArray:
        return self.windows.mask(table[self.day_column] if self.day_column else table[0])

    def _read(self, task: FileScanTask) -> Iterator[pa.Table]:
        metadata = self.staging.table_metadata
        scan = ArrowScan(metadata, self.staging.table.io, metadata.schema(), AlwaysTrue())
        target = arrow_schema(metadata.schema())
        for batch in scan.to_record_batches([task]):
            yield pa.Table.from_batches([batch]).cast(target)


def write(staging: Staging, tables: Iterable[pa.Table], sort_by: tuple[str, ...]) -> list[DataFile]:
    """Write rows to new data files of the table, one per partition and piece; returns the files."""
    target = arrow_schema(staging.table_metadata.schema())
    order = [(name, "ascending") for name in sort_by if name in target.names]
    files: list[DataFile] = []
    for piece in gathered(t for t in tables if t.num_rows):
        ordered = piece.sort_by(order).combine_chunks() if order else piece
        files += _dataframe_to_data_files(staging.table_metadata, ordered, staging.table.io)
    return files
