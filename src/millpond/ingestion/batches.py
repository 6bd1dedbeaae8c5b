"""Stages typed batches: Arrow tables of several streams, fields under names of our own.

Few rows stay in memory; more of them, or rows of different types, become Parquet files.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, get_ident
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millpond.errors import SourceError
from millpond.ingestion.memory_rows import stay_equal
from millpond.ingestion.reader import PAGE_SHIFT, STREAM_SHIFT
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.typed_rows import STAGED_BROKEN, STAGED_LINE, is_text, staged_name
from millpond.lake.parquet import list_repeating

Batches = Callable[[], Iterator[pa.Table]]

JSON, LINE, BROKEN = "\0json", "\0line", "\0broken"
"""Columns of a batch that are no fields of the source: a row's JSON text, or its text as it is in the source,
and why a row cannot be taken apart; null where it can."""
_ROWS: Final = 100_000
_BYTES: Final = 64 << 20
MEMORY: Final = 128 << 20
"""Bytes of batches that stay in memory."""
_NO_FIELDS: Final = {JSON: PAYLOAD, LINE: STAGED_LINE, BROKEN: STAGED_BROKEN}


class StagedBatches:
    """The files and fields of the batches of a load; batches may differ in their fields and types.

    There are no files if all rows are `held` in memory. Texts that Python has `decoded` are UTF-8.
    """

    def __init__(self, folder: Path, *, decoded: bool = False) -> None:
        self.files: list[Path] = []
        self.held: pa.Table | None = None
        self.names: list[str] = []
        self.rows = self.pages = 0
        self.may_hold_nul = False
        self.errors: dict[int, SourceError] = {}
        self._folder, self._decoded, self._lock = folder, decoded, Lock()
        self._writers: dict[int, _Writer] = {}
        self._kept: list[pa.Table] | None = []
        self._kept_bytes = 0

    def take(self, streams: Sequence[Batches], parallel: int) -> None:
        """Stage all `streams`, `parallel` at a time; a SourceError that ends one is kept under its number."""
        try:
            with ThreadPoolExecutor(parallel, thread_name_prefix="batches") as pool:
                started = [pool.submit(self._stream, number, each) for number, each in enumerate(streams)]
                try:
                    for done in started:
                        done.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
            self._hold()
        finally:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()

    def _stream(self, number: int, batches: Batches) -> None:
        found = batches()
        try:
            for page, batch in enumerate(found):
                self._keep(self._rename(batch, (number << STREAM_SHIFT) + (page << PAGE_SHIFT)))
        except SourceError as error:
            self.errors[number] = error
        finally:
            if isinstance(found, Generator):
                found.close()

    def _keep(self, rows: pa.Table) -> None:
        """Keep rows in memory, or write these and all that were kept once they are too many."""
        with self._lock:
            if self._kept is None:
                written = [rows]
            else:
                self._kept.append(rows)
                self._kept_bytes += rows.nbytes
                if self._kept_bytes <= MEMORY:
                    return
                written, self._kept = self._kept, None
        for each in written:
            self._write(each)

    def _hold(self) -> None:
        """Hold the rows that were kept, as one table; writes them if they do not make one."""
        if not self._kept:
            return
        if all(rows.schema.equals(self._kept[0].schema) for rows in self._kept):
            filled = sorted(filter(len, self._kept), key=lambda rows: rows["_seq"][0].as_py())
            held = pa.concat_tables(filled or self._kept[:1])
            if not self._decoded:  # typed values are written as they are: joined once, not in each piece
                held = held.combine_chunks()
            self.held = held if stay_equal(held, decoded=self._decoded) else None
        if self.held is None:
            for each in self._kept:
                self._write(each)

    def _write(self, rows: pa.Table) -> None:
        """Add rows to the file of this thread; those with other fields or types begin a new one."""
        writer = self._writers.get(get_ident())
        if writer is None or not rows.schema.equals(writer.schema):
            if writer:
                writer.close()
            with self._lock:
                file = self._folder / f"batches-{len(self.files)}.parquet"
                self.files.append(file)
            writer = self._writers[get_ident()] = _Writer(file, rows.schema)
        writer.add(rows)

    def _rename(self, batch: pa.Table, first: int) -> pa.Table:
        columns = {"_seq": pa.array(np.arange(first, first + batch.num_rows))}
        with self._lock:
            self.rows += batch.num_rows
            self.pages += 1
            staged = [_NO_FIELDS.get(name) or staged_name(self._place(name)) for name in batch.column_names]
        for name, column in zip(staged, batch.columns, strict=True):
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if not self.may_hold_nul and _may_hold_nul(column):
                self.may_hold_nul = True
            if not pa.types.is_null(column.type):
                columns[name] = column
        return pa.table(columns)

    def _place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


def _may_hold_nul(column: pa.ChunkedArray) -> bool:
    """Return whether a text of `column` may hold a NUL character: False only if none does."""
    if not is_text(column.type):
        return False
    if column.type == pa.string_view():
        return True
    width = np.int32 if column.type == pa.string() else np.int64
    for chunk in column.chunks:
        _, offsets, signs = chunk.buffers()
        if len(chunk) and signs:
            start, end = np.frombuffer(offsets, width)[[chunk.offset, chunk.offset + len(chunk)]]
            if np.frombuffer(signs, np.uint8)[start:end].min(initial=1) == 0:
                return True
    return False


class _Writer:
    """A Parquet file; small batches become one row group."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._path = file
        self._file: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._rows, self._bytes = self._rows + rows.num_rows, self._bytes + rows.nbytes
        if self._rows >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def close(self) -> None:
        if self._held or self._file is None:
            self._flush()
        if self._file:
            self._file.close()

    def _flush(self) -> None:
        rows = pa.concat_tables(self._held).combine_chunks() if self._held else self.schema.empty_table()
        self._held, self._rows, self._bytes = [], 0, 0
        if self._file is None:
            texts = [field.name for field in self.schema if is_text(field.type)]
            self._file = pq.ParquetWriter(
                self._path,
                self.schema,
                compression="lz4",
                use_dictionary=list_repeating(rows.select(texts)),
                write_statistics=False,
            )
        self._file.write_table(rows)
