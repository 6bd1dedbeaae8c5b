"""Arrow tables of the rows that a driver returns: of the planned types, else of those that values have."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

MOST_DIGITS: Final = 38
_UNFIT: Final = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)
_ROWS_AT_ONCE: Final = 10_000
_ROWS_OF_PYTHON: Final = 500


def planned_type(kind: Any) -> pa.DataType | None:
    """Return the Arrow type for values of a SQL type; None if it depends on the values.

    No whole numbers are planned: Arrow would cut off the fraction of one that has any.
    """
    if isinstance(kind, sa.Float):
        return pa.float64()
    if isinstance(kind, sa.Numeric):
        return decimal_type(kind)
    if isinstance(kind, sa.DateTime):
        return pa.timestamp("us", "UTC" if is_instant(kind) else None)
    if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum):
        return pa.string()
    if isinstance(kind, sa.LargeBinary):
        return pa.binary()
    return pa.date32() if isinstance(kind, sa.Date) else None


def is_instant(kind: Any) -> bool:
    """Return whether a time is one of UTC: it has a zone, or MySQL keeps it in UTC."""
    return bool(kind.timezone) or (
        isinstance(kind, sa.TIMESTAMP) and type(kind).__module__.startswith("sqlalchemy.dialects.mysql")
    )


def decimal_type(kind: Any) -> pa.DataType | None:
    """Return the decimal type that holds each value of `kind`; None if there is none."""
    digits, scale = kind.precision, kind.scale
    if digits is None or not 0 < digits <= MOST_DIGITS or not 0 <= (scale or 0) <= digits:
        return None
    return pa.decimal128(digits, scale or 0)


def to_table(
    columns: Sequence[Sequence[Any]], names: Sequence[str], types: Sequence[pa.DataType | None]
) -> pa.Table:
    """Return `columns` as a table; one whose values have several types holds their texts."""
    return pa.Table.from_arrays(
        [_array(values, kind) for values, kind in zip(columns, types, strict=True)], list(names)
    )


def _array(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array:
    for wanted in (kind, None) if kind is not None else (None,):
        try:
            found = pa.array(values, wanted)
        except _UNFIT:
            continue
        if not isinstance(found, pa.Array) or wanted is not None or _is_plain(found.type):
            return found
    return pa.array([as_text(value) for value in values], pa.string())


def _is_plain(kind: pa.DataType) -> bool:
    return not (pa.types.is_duration(kind) or pa.types.is_interval(kind) or pa.types.is_decimal(kind))


def as_text(value: Any) -> str | None:
    """Return a value as text: numbers in full, bytes in base64, lists and objects as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):  # what a TIME of MySQL is
        seconds = abs(value) // dt.timedelta(seconds=1)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        fraction = f".{abs(value).microseconds:06}" if value.microseconds else ""
        return f"{'-' if value < dt.timedelta(0) else ''}{clock}{fraction}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=as_text, ensure_ascii=False)
    return str(value)


def fetch_tables(connection: sa.Connection, query: Any, rows: int) -> Iterator[pa.Table]:
    """Yield what `query` returns, `rows` at a time, over a cursor of the server.

    The types of SQLite's columns say nothing about their values: these have their own, as far as they are
    alike, and times in ISO 8601 become times where the column is declared to hold such.
    """
    of = list(query.selected_columns)
    names, dynamic = [column.name for column in of], connection.dialect.name == "sqlite"
    raw = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in of]
    types = [None if dynamic else planned_type(column.type) for column in of]
    times = [name for name, column in zip(names, of, strict=True) if isinstance(column.type, sa.DateTime)]
    held: list[pa.Table] = []
    for fetched in _fetch(connection, query.with_only_columns(*raw), min(rows, _ROWS_AT_ONCE)):
        table = to_table(fetched, names, types)
        for name in times if dynamic else ():
            table = _parse_times(table, name)
        if held and (held[0].schema != table.schema or sum(t.num_rows for t in held) >= rows):
            yield pa.concat_tables(held)
            held = []
        held.append(table)
    if held:
        yield pa.concat_tables(held)


def _fetch(connection: sa.Connection, query: Any, rows: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the columns of `rows` rows at a time.

    Few rows are there as such at once: Python looks through all objects of a process when many more come.
    """
    columns: list[list[Any]] = []
    for fetched in _fetch_rows(connection, query, min(rows, _ROWS_OF_PYTHON)):
        columns = columns or [[] for _ in fetched[0]]
        for column, values in zip(columns, zip(*fetched, strict=True), strict=True):
            column.extend(values)
        if len(columns[0]) >= rows:
            yield columns
            columns = []
    if columns:
        yield columns


def _fetch_rows(connection: sa.Connection, query: Any, rows: int) -> Iterator[Sequence[Sequence[Any]]]:
    if connection.dialect.name == "sqlite":  # half the time that rows of SQLAlchemy take
        cursor = connection.connection.cursor()
        cursor.execute(str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})))
        while fetched := cursor.fetchmany(rows):
            yield fetched
        return
    streamed = connection.execution_options(stream_results=True, yield_per=rows)
    for partition in streamed.execute(query).partitions(rows):
        yield [row._data for row in partition]


def _parse_times(table: pa.Table, name: str) -> pa.Table:
    values = table[name]
    if not pa.types.is_string(values.type):
        return table
    try:
        return table.set_column(table.column_names.index(name), name, values.cast(pa.timestamp("us")))
    except pa.ArrowInvalid:
        return table
