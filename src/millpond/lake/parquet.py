"""Parquet files of tables: rows are read from one, and written to new ones.

PyIceberg derives the same from the schema for each file, which takes longer than a small file itself. A file
of just the columns of its table, without lists and structures, is read and written without that.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from millpond.internals.pyiceberg import (
    ArrowScan,
    DataFileContent,
    ExecutorFactory,
    FileFormat,
    PartitionFieldValue,
    PartitionKey,
    TableProperties,
    WriteTask,
    dataframe_to_data_files,
    get_parquet_options,
    load_location_provider,
    remember_results,
    sanitize_column_names,
    write_file,
)
from millpond.lake.files import find_local
from millpond.lake.hashing import join_chunks
from millpond.lake.pools import get_pool
from millpond.lake.rows import gather
from millpond.lake.schema import arrow_schema
from millpond.lake.staging import Staging
from millpond.lake.statistics import StatisticsPlan
from millpond.lake.turns import end_turns, leave_turn

_BATCH_ROWS = 131_072
_SHARED_BYTES = 1 << 20
"""From this size on several threads read a file."""
_SAMPLE_ROWS = 1_024
_PLACES = np.random.default_rng(0).random(_SAMPLE_ROWS)
"""Where in its part of the rows a row of a sample is, from 0 to 1: at random, as values may be periodic."""
_FIELD_ID = b"PARQUET:field_id"


@dataclass(frozen=True)
class _Layout:
    """How files of a schema are written, if it is plain: without lists, structures and required columns."""

    columns: pa.Schema
    options: dict[str, Any]
    group_rows: int
    statistics: StatisticsPlan


def read_file(metadata: TableMetadata, schema: Schema, io: FileIO, task: FileScanTask) -> Iterator[pa.Table]:
    """Yield the rows of a data file in the columns of `schema`, without those that were deleted from it."""
    place, wanted = task.file.file_path, _list_columns(schema)
    if wanted and not task.delete_files and task.file.file_format == FileFormat.PARQUET:
        remote, threads = find_local(place) is None, task.file.file_size_in_bytes >= _SHARED_BYTES
        with io.new_input(place).open() as stream, pq.ParquetFile(stream, pre_buffer=remote) as file:
            if _name_columns(file.schema_arrow) == wanted:
                if file.metadata.num_rows <= _BATCH_ROWS:
                    with leave_turn():
                        table = file.read(use_threads=threads)
                    yield table
                else:
                    end_turns()
                    batches = file.iter_batches(_BATCH_ROWS, use_threads=threads)
                    yield from (pa.Table.from_batches([batch]) for batch in batches)
                return
    for batch in ArrowScan(metadata, io, schema, AlwaysTrue()).to_record_batches([task]):
        yield pa.Table.from_batches([batch])


@remember_results
def _list_columns(schema: Schema) -> list[tuple[str, pa.DataType, bytes | None]] | None:
    """Return name, type and id of each column as they are in a file; None if there are nested ones."""
    stored = schema_to_pyarrow(schema)
    return None if any(pa.types.is_nested(kind) for kind in stored.types) else _name_columns(stored)


def _name_columns(schema: pa.Schema) -> list[tuple[str, pa.DataType, bytes | None]]:
    return [(column.name, column.type, (column.metadata or {}).get(_FIELD_ID)) for column in schema]


@remember_results
def _find_layout(schema: Schema, properties: dict[str, str]) -> _Layout | None:
    plain = _list_columns(schema) and not any(field.required for field in schema.fields)
    kind = properties.get(TableProperties.WRITE_FILE_FORMAT, TableProperties.WRITE_FILE_FORMAT_DEFAULT)
    if not plain or FileFormat(kind) != FileFormat.PARQUET or sanitize_column_names(schema) != schema:
        return None
    limit = TableProperties.PARQUET_ROW_GROUP_LIMIT_DEFAULT
    return _Layout(
        schema_to_pyarrow(schema),
        get_parquet_options(properties),
        int(properties.get(TableProperties.PARQUET_ROW_GROUP_LIMIT, limit)),
        StatisticsPlan(schema, properties),
    )


def write_files(staging: Staging, tables: Iterable[pa.Table], sort_by: tuple[str, ...]) -> list[DataFile]:
    """Write rows to new data files of the table, one per partition and piece; returns the files."""
    metadata, io = staging.table_metadata, staging.table.io
    target = arrow_schema(metadata.schema())
    order = [(name, "ascending") for name in sort_by if name in target.names]
    write = partial(_write_piece, metadata, io, order)
    pieces = gather(t for t in tables if t.num_rows)
    piece = next(pieces, None)
    files: list[DataFile] = []
    begun: Future[list[DataFile]] | None = None  # one at most: each piece takes memory
    try:
        while piece is not None and (following := next(pieces, None)) is not None:
            end_turns()
            if begun:
                files += begun.result()
            begun = get_pool("pieces", os.cpu_count() or 1).submit(write, piece)
            piece = following
        last = [] if piece is None else write(piece)
        return files + (begun.result() if begun else []) + last
    finally:
        wait([begun] if begun else [])


def _write_piece(
    metadata: TableMetadata, io: FileIO, order: list[tuple[str, str]], piece: pa.Table
) -> list[DataFile]:
    ordered = piece if is_sorted(piece, order) else piece.sort_by(order).combine_chunks()
    parts = _split_rows(metadata, ordered)
    if parts is None:
        return list(dataframe_to_data_files(metadata, ordered, io))
    return _write_parts(metadata, io, list(_make_tasks(metadata, parts)))


def _write_parts(metadata: TableMetadata, io: FileIO, tasks: Sequence[WriteTask]) -> list[DataFile]:
    layout = _find_layout(metadata.schema(), metadata.properties)
    if layout is None:
        return list(write_file(io, metadata, iter(tasks)))
    write = partial(_write_part, metadata, io, layout)
    if len(tasks) == 1:
        return [write(tasks[0])]
    with leave_turn():
        begun = [ExecutorFactory.get_or_create().submit(write, task) for task in tasks]
        wait(begun)  # also if one fails: none is written after what was created is removed
        return [each.result() for each in begun]


def _write_part(metadata: TableMetadata, io: FileIO, layout: _Layout, task: WriteTask) -> DataFile:
    provider = load_location_provider(metadata.location, metadata.properties)
    place = provider.new_data_location(task.generate_data_file_filename("parquet"), task.partition_key)
    rows = pa.Table.from_batches(task.record_batches)
    repeating = list_repeating(rows)
    table = pa.Table.from_arrays(rows.columns, schema=layout.columns)
    output = io.new_output(place)
    with leave_turn(), output.create(overwrite=True) as stream:
        with pq.ParquetWriter(
            stream,
            layout.columns,
            store_decimal_as_integer=True,
            use_dictionary=repeating,
            **layout.options,
        ) as writer:
            writer.write(table, row_group_size=layout.group_rows)
        size = stream.tell()
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=place,
        file_format=FileFormat.PARQUET,
        partition=task.partition_key.partition if task.partition_key else Record(),
        file_size_in_bytes=size,
        **layout.statistics.collect(writer.writer.metadata),
    )


def list_repeating(rows: pa.Table) -> list[str]:
    """Return the columns whose values repeat, so that a dictionary of them makes the file smaller.

    Of columns such as a key, whose values are different, it takes time, and room. If at most two of 1,024
    rows repeat a value, the column has so few repetitions that a dictionary would not pay, or so many values
    that it would grow beyond what a file may hold.
    """
    if rows.num_rows < _SAMPLE_ROWS:
        return list(rows.column_names)
    different = list(rows.column_names)
    for size in (_SAMPLE_ROWS // 16, _SAMPLE_ROWS):  # few rows show most columns to repeat
        step, least = rows.num_rows // size, size - 2
        places = np.arange(size) * step + (_PLACES[:size] * step).astype(int)
        sample = rows.select(different).take(pa.array(places))
        different = [name for name in different if pc.count_distinct(sample[name], "all").as_py() >= least]
    return [name for name in rows.column_names if name not in different]


def is_sorted(table: pa.Table, order: list[tuple[str, str]]) -> bool:
    """Return whether the rows are sorted by the columns of `order`; False if one has nulls."""
    tied: pa.ChunkedArray | None = None
    for at, (name, _) in enumerate(order, 1):
        values = table[name]
        if values.null_count:
            return False
        former, latter = values[:-1], values[1:]
        follows = pc.less_equal(former, latter)
        if tied is not None:
            follows = pc.or_(pc.invert(tied), follows)
        if pc.all(follows).as_py() is False:
            return False
        if at < len(order):
            same = pc.equal(former, latter)
            tied = same if tied is None else pc.and_(tied, same)
    return True


def _split_rows(
    metadata: TableMetadata, table: pa.Table
) -> list[tuple[PartitionKey | None, pa.Table]] | None:
    """Return the partitions of rows that are sorted by partition, without a copy; None if they are not.

    PyIceberg 0.12 filters all rows once for each partition.
    """
    fields, schema = metadata.spec().fields, metadata.schema()
    if not fields:
        return [(None, table)]
    if len(fields) > 1:
        return None
    (field,) = fields
    source = schema.find_field(field.source_id)
    convert = field.transform.pyarrow_transform(source.field_type)
    days = join_chunks(table[source.name])
    values, starts = [], [0, table.num_rows]
    if field.transform.preserves_order and not days.null_count:
        ends = pa.array([end.as_py() for end in pc.min_max(days).values()], days.type)
        values = convert(ends).unique().to_pylist()
    if len(values) != 1:
        runs = pc.run_end_encode(convert(days))
        values, starts = runs.values.to_pylist(), [0, *runs.run_ends.to_pylist()]
        if len(set(values)) < len(values):
            return None
    return [
        (
            PartitionKey([PartitionFieldValue(field, value)], metadata.spec(), schema),
            table.slice(start, end - start),
        )
        for value, (start, end) in zip(values, pairwise(starts), strict=True)
    ]


def _make_tasks(
    metadata: TableMetadata, parts: Iterable[tuple[PartitionKey | None, pa.Table]]
) -> Iterator[WriteTask]:
    write_uuid = uuid.uuid4()
    for number, (key, rows) in enumerate(parts):
        yield WriteTask(write_uuid, number, metadata.schema(), rows.to_batches(), partition_key=key)
