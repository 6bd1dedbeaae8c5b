"""Data files: reading those a window touches, and writing rows to new ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, compress
from operator import not_

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, FileScanTask
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import MonthTransform

from millpond.internals.pyiceberg import (
    ROWS_MIGHT_NOT_MATCH,
    ArrowScan,
    InclusiveMetricsEvaluator,
    PartitionFieldValue,
    PartitionKey,
    WriteTask,
    dataframe_to_data_files,
    write_file,
)
from millpond.lake.hashing import Digests, combine_digests, compute_digests
from millpond.lake.rows import fit_piece, gather
from millpond.lake.schema import arrow_schema
from millpond.lake.staging import Staging
from millpond.lake.windows import Windows

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
    _removed: list[DataFile] = field(default_factory=list)
    _partial: list[FileScanTask] = field(default_factory=list)
    _held: list[pa.Table] | None = None

    @classmethod
    def find(cls, staging: Staging, windows: Windows, day_column: str | None) -> TouchedFiles:
        """Return the files that may hold rows of `windows`."""
        metadata, exact = staging.table_metadata, windows.filter(day_column)
        wide = AlwaysTrue() if staging.old_schema else widen_to_partitions(metadata, windows, day_column)
        tasks = list(DataScan(metadata, staging.table.io, row_filter=wide or exact).plan_files())
        evaluator = InclusiveMetricsEvaluator(metadata.schema(), exact)
        hits = [evaluator.eval(t.file) != ROWS_MIGHT_NOT_MATCH for t in tasks]
        hit = list(compress(tasks, hits))
        missed = compress(tasks, map(not_, hits))
        if staging.old_schema:
            return cls(staging, windows, day_column, hit, list(missed))
        small = [t for t in missed if t.file.file_size_in_bytes < _SMALL_FILE_BYTES]
        small.sort(key=lambda t: t.file.file_size_in_bytes)
        sizes = accumulate(t.file.file_size_in_bytes for t in small)
        near = [t for t, size in zip(small, sizes, strict=True) if size <= _NEIGHBOUR_BYTES]
        return cls(staging, windows, day_column, hit, near)

    @property
    def removed(self) -> list[DataFile]:
        """The files that are rewritten or dropped; call `digests` first."""
        return self._removed + [t.file for t in self.neighbours]

    def digests(self) -> Digests:
        """Return the digests of the rows in the window; notes which files are removed and which rows stay."""
        self._held = [] if sum(t.file.file_size_in_bytes for t in self.tasks) <= _HELD_BYTES else None
        return combine_digests(
            compute_digests(piece, self.day_column) for piece in gather(self.read_inside())
        )

    def read_kept(self) -> Iterator[pa.Table]:
        """Yield the rows outside the window of the removed files; call `digests` first."""
        for task in self.neighbours:
            yield from self._read(task)
        if self._held is not None:
            yield from self._held
            return
        for task in self._partial:
            for table in self._read(task):
                yield table.filter(pc.invert(self._mask(table)))

    def read_inside(self) -> Iterator[pa.Table]:
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
            rewritten = bool(inside or self.staging.old_schema)
            if rewritten:
                self._removed.append(task.file)
            if rewritten and outside:
                self._partial.append(task)
                self._held = None if self._held is None else [*self._held, *outside]

    def _mask(self, table: pa.Table) -> pa.ChunkedArray:
        return self.windows.mask(table[self.day_column] if self.day_column else table[0])

    def _read(self, task: FileScanTask) -> Iterator[pa.Table]:
        metadata = self.staging.table_metadata
        schema, target = self.staging.old_schema or metadata.schema(), arrow_schema(metadata.schema())
        scan = ArrowScan(metadata, self.staging.table.io, schema, AlwaysTrue())
        for batch in scan.to_record_batches([task]):
            table = pa.Table.from_batches([batch])
            if self.staging.old_schema:
                yield fit_piece(".".join(self.staging.table.name()), table, target)
            else:
                yield table.cast(target)


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


def write_files(staging: Staging, tables: Iterable[pa.Table], sort_by: tuple[str, ...]) -> list[DataFile]:
    """Write rows to new data files of the table, one per partition and piece; returns the files."""
    metadata, io = staging.table_metadata, staging.table.io
    target = arrow_schema(metadata.schema())
    order = [(name, "ascending") for name in sort_by if name in target.names]
    files: list[DataFile] = []
    for piece in gather(t for t in tables if t.num_rows):
        ordered = piece if _is_sorted(piece, order) else piece.sort_by(order).combine_chunks()
        parts = _split_rows(metadata, ordered)
        if parts is None:
            files += dataframe_to_data_files(metadata, ordered, io)
        else:
            files += write_file(io, metadata, _make_tasks(metadata, parts))
    return files


def _is_sorted(table: pa.Table, order: list[tuple[str, str]]) -> bool:
    """Return whether the rows are sorted by the one column of `order`; False if it has several."""
    if len(order) != 1:
        return not order
    values = table[order[0][0]]
    return not values.null_count and pc.all(pc.less_equal(values[:-1], values[1:])).as_py() is not False


def _split_rows(metadata: TableMetadata, table: pa.Table) -> list[tuple[PartitionKey, pa.Table]] | None:
    """Return the partitions of rows that are sorted by partition, without a copy; None if they are not.

    PyIceberg 0.12 filters all rows once for each partition.
    """
    fields, schema = metadata.spec().fields, metadata.schema()
    if len(fields) != 1:
        return None
    (field,) = fields
    source = schema.find_field(field.source_id)
    transform = field.transform.pyarrow_transform(source.field_type)
    runs = pc.run_end_encode(transform(table[source.name].combine_chunks()))
    if len(runs.values) != pc.count_distinct(runs.values, mode="all").as_py():
        return None
    starts = [0, *runs.run_ends.to_pylist()]
    return [
        (
            PartitionKey([PartitionFieldValue(field, value)], metadata.spec(), schema),
            table.slice(start, end - start),
        )
        for value, start, end in zip(runs.values.to_pylist(), starts, starts[1:], strict=False)
    ]


def _make_tasks(metadata: TableMetadata, parts: list[tuple[PartitionKey, pa.Table]]) -> Iterator[WriteTask]:
    write_uuid = uuid.uuid4()
    for number, (key, rows) in enumerate(parts):
        yield WriteTask(write_uuid, number, metadata.schema(), rows.to_batches(), partition_key=key)
