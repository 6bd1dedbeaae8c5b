"""Staged rows that stay in memory: their texts cast by Arrow, their values handed on without a copy.

A column whose texts are all plain numbers is cast at once; any other is left to the row contract, which says
of each value why it is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millpond.errors import RowsUnaccounted
from millpond.ingestion.column_rules import Value
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import Casts, TypedRows, cast_name, is_text, staged_name
from millpond.lake.pools import get_pool
from millpond.naming import quoted

_CASTS: Final = {"int": pa.int64(), "number": pa.float64()}
_SIGNS: Final = (ord("+"), ord("9"))
"""Between these are digits, signs and points: no letters of exponents or of other bases, and no blanks."""
_FEW: Final = 20_000
"""Rows up to which one thread casts all columns."""
_PLAIN: Final = {
    *(pa.bool_(), pa.string(), pa.date32(), pa.timestamp("ns")),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float32(), pa.float64()),
}


def stay_equal(rows: pa.Table, *, decoded: bool = False) -> bool:
    """Return whether DuckDB takes all values of `rows` for what they are after a way through Parquet.

    Texts that Python has `decoded` are UTF-8.
    """
    plain = all(
        kind in _PLAIN or pa.types.is_decimal128(kind) or (pa.types.is_timestamp(kind) and kind.unit == "us")
        for kind in rows.schema.types
    )
    if not plain or decoded:
        return plain
    try:
        for column in rows.columns:
            if is_text(column.type):
                column.validate(full=True)
    except pa.ArrowInvalid:  # a text that is not UTF-8, for which DuckDB has an error
        return False
    return True


def name_schema(rows: pa.Table, names: Sequence[str]) -> pa.Schema:
    """Return the types of the fields `names` as they are staged in `rows`; null for those without values."""
    found = {field.name: field.type for field in rows.schema}
    return pa.schema([(name, found.get(staged_name(at), pa.null())) for at, name in enumerate(names)])


def cast_texts(rows: pa.Table, schema: pa.Schema, table: SourceTable) -> tuple[pa.Table, Casts]:
    """Return `rows` with the numbers that texts of whole columns are, and what is known of all values."""
    typed, casts = TypedRows(schema), Casts()
    texts: dict[str, tuple[str, pa.DataType]] = {}
    for name, column in table.columns.items():
        found, kind = typed.find(column.path(name)), _CASTS.get(column.type)
        if found is None or kind is None:
            continue
        staged, own = found
        if pa.types.is_floating(own) and _is_finite(rows[staged]):
            casts.finite.add(staged)
        if own == pa.string():
            texts[cast_name(staged, column.type)] = staged, kind
    parts = [(rows[staged], kind) for staged, kind in texts.values()]
    each = map if rows.num_rows <= _FEW else get_pool("casting", min(4, os.cpu_count() or 1)).map
    for new, numbers in zip(texts, each(lambda part: _cast(*part), parts), strict=True):
        if numbers:
            rows = rows.append_column(new, numbers)
            casts.columns.add(new)
    return rows, casts


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """Return the numbers that all `texts` are, to the last digit; None if one is none or not plain."""
    if not all(map(_has_plain_signs, texts.chunks)):
        return None
    try:
        numbers = texts.cast(kind)
    except pa.ArrowInvalid:
        return None
    return numbers if kind == pa.int64() or _is_finite(numbers) else None


def _has_plain_signs(texts: pa.StringArray) -> bool:
    _, offsets, signs = texts.buffers()
    if not len(texts) or signs is None:
        return True
    start, end = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    found = np.frombuffer(signs, np.uint8)[start:end]
    return not len(found) or bool(found.min() >= _SIGNS[0] and found.max() <= _SIGNS[1])


def _is_finite(numbers: pa.ChunkedArray) -> bool:
    return pc.all(pc.is_finite(numbers)).as_py() is not False


def append_columns(rows: pa.Table, computed: pa.Table) -> pa.Table:
    """Return `rows` with the columns that were computed of each of them; raises RowsUnaccounted."""
    if not rows["_seq"].equals(computed["_seq"]):
        raise RowsUnaccounted(
            "values that were computed of rows do not belong to these rows in order",
            unharmed="what was loaded before; nothing of this was written",
            next_step="this is a defect of Millpond: report it with the window and the spec",
        )
    for name, column in zip(computed.column_names, computed.columns, strict=True):
        if name != "_seq":
            rows = rows.append_column(name, column)
    return rows


def have_distinct_keys(rows: pa.Table, key: Value | None) -> bool:
    """Return whether the keys of `rows` increase from each row to the next; `key` is that of one column."""
    keys = rows["__key"]
    if key and key.column.type == "int" and (found := find_columns(rows, [key.as_strict()])[0]):
        keys = found
    return not keys.null_count and pc.all(pc.less(keys[:-1], keys[1:])).as_py() is not False


def find_columns(rows: pa.Table, sql: Sequence[str]) -> list[pa.ChunkedArray | None]:
    """Return for each of the expressions `sql` the column of `rows` that it is, as DuckDB would type it."""
    known: dict[str, tuple[str, pa.DataType]] = {}
    for field in rows.schema:
        for expression, kind in _list_expressions(field):
            known[expression] = field.name, kind
    found = [known.get(expression) for expression in sql]
    return [rows[each[0]].cast(each[1]) if each else None for each in found]


def _list_expressions(field: pa.Field) -> Iterator[tuple[str, pa.DataType]]:
    name, kind = field.name, field.type
    if kind in {pa.string(), pa.bool_(), pa.date32(), pa.int64(), pa.float64(), pa.timestamp("us", "UTC")}:
        yield name, kind
        yield quoted(name), kind
    if pa.types.is_integer(kind) and kind != pa.uint64():
        yield f"try_cast({name} as bigint)", pa.int64()
    if pa.types.is_floating(kind):
        yield f"try_cast({name} as double)", pa.float64()
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        yield f"{name}::timestamptz", pa.timestamp("us", "UTC")
    if kind == pa.date32():
        yield f"{name}::date", kind
