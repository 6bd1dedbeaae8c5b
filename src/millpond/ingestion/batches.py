"""Stages typed batches: Arrow tables of several streams as Parquet files, fields under names of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millpond.errors import SourceError
from millpond.ingestion.reader import PAGE_SHIFT, STREAM_SHIFT
from millpond.ingestion.typed_rows import staged_name

Batches = Callable[[], Iterator[pa.Table]]


class StagedBatches:
    """The files and fields of the batches of a load; batches may differ in their fields and types."""

    def __init__(self, folder: Path) -> None:
        self.files: list[Path] = []
        self.names: list[str] = []
        self.rows = self.pages = 0
        self.errors: dict[int, SourceError] = {}
        self._folder, self._lock = folder, Lock()

    def take(self, streams: Sequence[Batches], parallel: int) -> None:
        """Stage all `streams`, `parallel` at a time; a SourceError that ends one is kept under its number."""
        with ThreadPoolExecutor(parallel, thread_name_prefix="batches") as pool:
            for done in [pool.submit(self._stream, number, each) for number, each in enumerate(streams)]:
                done.result()

    def _stream(self, number: int, batches: Batches) -> None:
        writer: pq.ParquetWriter | None = None
        try:
            for page, batch in enumerate(batches()):
                rows = self._rename(batch, (number << STREAM_SHIFT) + (page << PAGE_SHIFT))
                if writer is None or not rows.schema.equals(writer.schema):
                    if writer:
                        writer.close()
                    file = self._folder / f"batches-{number}-{page}.parquet"
                    writer = pq.ParquetWriter(file, rows.schema, compression="lz4")
                    self.files.append(file)
                writer.write_table(rows)
        except SourceError as error:
            self.errors[number] = error
        finally:
            if writer:
                writer.close()

    def _rename(self, batch: pa.Table, first: int) -> pa.Table:
        columns = {"_seq": pa.array(np.arange(first, first + batch.num_rows))}
        with self._lock:
            self.rows += batch.num_rows
            self.pages += 1
            for name in batch.column_names:
                if name not in self.names:
                    self.names.append(name)
            places = [self.names.index(name) for name in batch.column_names]
        for place, column in zip(places, batch.columns, strict=True):
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if not pa.types.is_null(column.type):
                columns[staged_name(place)] = column
        return pa.table(columns)
