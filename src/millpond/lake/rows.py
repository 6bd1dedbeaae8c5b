"""The rows of a write: from memory or as a stream of Parquet files, cast to the columns of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millpond.errors import RowsOutsideWindow, SchemaConflict
from millpond.lake.windows import Windows
from millpond.naming import agree, pluralize

PIECE_BYTES = 32 << 20
"""Rows are processed in pieces of about this size, so that memory does not grow with the data."""
_BATCH_ROWS = 32_768


class Rows:
    """New rows of a table, readable any number of times; those of one piece are cast once."""

    _rows_at_once: int | None = None
    _fitted: tuple[pa.Schema, pa.Table] | None = None

    def __init__(self, table: str, data: pa.Table | Sequence[Path]) -> None:
        self.table, self.data = table, data
        if isinstance(data, pa.Table):
            self.schemas = [data.schema]
            if data.nbytes <= PIECE_BYTES:
                self._rows_at_once = data.num_rows
        else:
            self.schemas = [pq.read_schema(path).remove_metadata() for path in data]

    def pieces(self, target: pa.Schema) -> Iterator[pa.Table]:
        """Yield the rows in the columns and types of `target`; raises SchemaConflict if one does not fit."""
        if self._fitted is not None and self._fitted[0] is target:
            yield self._fitted[1]
            return
        for piece in self.raw_pieces():
            fitted = fit_piece(self.table, piece, target)
            if piece.num_rows == self._rows_at_once:
                self._fitted = target, fitted
            yield fitted

    def raw_pieces(self) -> Iterator[pa.Table]:
        """Yield the rows as they come, in tables of about PIECE_BYTES."""
        if isinstance(self.data, pa.Table):
            rows = max(1, self.data.num_rows * PIECE_BYTES // max(1, self.data.nbytes))
            for start in range(0, self.data.num_rows, rows):
                yield self.data.slice(start, rows)
            return
        for path in self.data:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from gather(pa.Table.from_batches([b]) for b in file.iter_batches(_BATCH_ROWS))


def gather(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of about PIECE_BYTES, each in one chunk."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size >= PIECE_BYTES:
            yield _join(held)
            held, size = [], 0
    if held:
        yield _join(held)


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all in one chunk, without a copy if they are."""
    joined = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    return joined if all(column.num_chunks == 1 for column in joined.columns) else joined.combine_chunks()


def fit_piece(table: str, piece: pa.Table, target: pa.Schema) -> pa.Table:
    """Return `piece` in the columns and types of `target`; columns that it lacks are null."""
    columns = []
    given = dict(zip(piece.column_names, piece.columns, strict=True))
    for field in target:
        if field.name not in given:
            columns.append(pa.nulls(piece.num_rows, field.type))
            continue
        try:
            columns.append(_cast(given[field.name], field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaConflict(
                f"{table}.{field.name}: a value does not fit the column's type {field.type}: {error}",
                unharmed="the table; nothing of this write is visible",
                next_step="cast it in the model (to timestamp, for times), let the row contract of a source "
                "quarantine such rows, or give them a column of their own",
            ) from error
    return pa.table(columns, schema=target)


def refuse_outside(table: str, piece: pa.Table, column: str, windows: Windows) -> None:
    """Raise RowsOutsideWindow, with days and counts, if a row's day is in none of `windows`."""
    inside = windows.mask(piece[column])
    if pc.all(inside).as_py() is not False:
        return
    outside = piece.filter(pc.invert(inside))
    days = pc.value_counts(outside[column].combine_chunks()).to_pylist()
    shown = ", ".join(
        f"{d['values'] or 'no date'}: {d['counts']}" for d in sorted(days, key=lambda d: str(d["values"]))[:5]
    )
    raise RowsOutsideWindow(
        f"{pluralize(outside.num_rows, 'row')} for {table} {agree(outside.num_rows, 'are')} outside the"
        f" window {windows} by {column} ({shown})",
        unharmed="the table; nothing of this write is visible",
        next_step="filter these rows out before writing, or also replace the days they belong to",
    )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    return pc.cast(column, kind)
