"""How a table's columns may change: they are added and widened; only replacing all rows removes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema

from millpond.errors import SchemaConflict
from millpond.internals.pyiceberg import remember_results

_KEPT = 256
_UNCHANGED = "the table; its rows and columns did not change"


@remember_results
def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema in which rows of an Iceberg schema are written and compared."""
    return schema_to_pyarrow(schema, include_field_ids=False).remove_metadata()


@lru_cache(_KEPT)
def evolve(table: str, current: pa.Schema | None, *wanted: pa.Schema) -> pa.Schema:
    """Return the schema with the columns of `current`, then those that `wanted` add.

    A column of the type null adds nothing: its type is known once it has values. Raises SchemaConflict for
    a type that does not fit, for duplicate names and for names that differ only by case, blanks or Unicode
    composition.
    """
    columns: dict[str, pa.DataType] = {f.name: f.type for f in current or ()}
    for schema in wanted:
        _refuse_collisions(table, [f.name for f in schema], columns)
        for column in schema:
            if pa.types.is_null(column.type):
                continue
            kind = find_stored_type(table, column.name, column.type)
            known = columns.get(column.name)
            columns[column.name] = kind if known is None else _fit_type(table, column.name, known, kind)
    return pa.schema(list(columns.items()))


def reshape(table: str, current: pa.Schema, *wanted: pa.Schema) -> pa.Schema:
    """Return the schema of a table whose rows are all replaced: only the wanted columns, in their order.

    Types of `current` stay if the wanted ones fit into them. Raises SchemaConflict as `evolve` does.
    """
    target = evolve(table, None, *wanted)
    columns: dict[str, pa.DataType] = dict(zip(target.names, target.types, strict=True))
    for name in (f.name for schema in wanted for f in schema if f.name in current.names):
        known = current.field(name).type
        columns[name] = (
            known if name not in columns else find_widest_type(known, columns[name]) or columns[name]
        )
    return pa.schema(list(columns.items()))


def turn_integers_to_floats(current: pa.Schema, declared: pa.Schema) -> pa.Schema:
    """Return `current` with those integer columns as doubles that `declared` has as doubles.

    Iceberg does not widen a long to a double: such a column is a new one, and all its rows are rewritten.
    """
    columns: dict[str, pa.DataType] = dict(zip(current.names, current.types, strict=True))
    for column in declared:
        known = columns.get(column.name)
        if known is not None and pa.types.is_integer(known) and pa.types.is_float64(column.type):
            columns[column.name] = column.type
    return pa.schema(list(columns.items()))


def find_widest_type(known: pa.DataType, kind: pa.DataType) -> pa.DataType | None:
    """Return the type for values of both, if a column of type `known` may become it."""
    t = pa.types
    stays = (
        known == kind
        or (t.is_integer(known) and t.is_int32(kind))
        or (t.is_floating(known) and t.is_float32(kind))
        or (t.is_float64(known) and t.is_integer(kind))
        or (t.is_decimal(known) and t.is_integer(kind))
    )
    if stays:
        return known
    if (t.is_int32(known) and t.is_int64(kind)) or (t.is_float32(known) and t.is_float64(kind)):
        return kind
    if t.is_decimal(known) and t.is_decimal(kind) and known.scale == kind.scale:
        return known if known.precision >= kind.precision else kind
    return None


def find_stored_type(table: str, column: str, kind: pa.DataType) -> pa.DataType:
    """Return the type in which Iceberg stores values of `kind`; raises SchemaConflict if there is none."""
    t = pa.types
    if t.is_dictionary(kind):
        return find_stored_type(table, column, kind.value_type)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.large_list(pa.field("element", find_stored_type(table, column, kind.value_type)))
    if t.is_struct(kind):
        return pa.struct([pa.field(f.name, find_stored_type(table, column, f.type)) for f in kind])
    if t.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    for matches, stored in _STORED:
        if matches(kind):
            return stored
    if t.is_decimal128(kind) or t.is_fixed_size_binary(kind):
        return kind
    raise SchemaConflict(
        f"{table}.{column}: tables of the lake cannot have a column of the type {kind}",
        unharmed=_UNCHANGED,
        next_step="cast it to a type of the lake: bigint, double, decimal, varchar, date, timestamp",
    )


_STORED = (
    (pa.types.is_boolean, pa.bool_()),
    (lambda k: pa.types.is_int8(k) or pa.types.is_int16(k) or pa.types.is_int32(k), pa.int32()),
    (lambda k: pa.types.is_uint8(k) or pa.types.is_uint16(k), pa.int32()),
    (lambda k: pa.types.is_int64(k) or pa.types.is_uint32(k), pa.int64()),
    (lambda k: pa.types.is_float16(k) or pa.types.is_float32(k), pa.float32()),
    (pa.types.is_float64, pa.float64()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_time, pa.time64("us")),
    (lambda k: pa.types.is_string(k) or pa.types.is_large_string(k), pa.large_string()),
    (lambda k: pa.types.is_string_view(k), pa.large_string()),
    (lambda k: pa.types.is_binary(k) or pa.types.is_large_binary(k), pa.large_binary()),
)


def _fit_type(table: str, column: str, known: pa.DataType, kind: pa.DataType) -> pa.DataType:
    if (fitting := find_widest_type(known, kind)) is not None:
        return fitting
    raise SchemaConflict(
        f"{table}.{column} is {_format_type(known)} in the table and {_format_type(kind)} in the data",
        unharmed=_UNCHANGED,
        next_step="cast the data or declare the column to the table's type"
        f' (`millpond sql "describe {table}"`), give the new values a column of their own,'
        " or build a model whose column has another type now with --full-refresh",
    )


def _refuse_collisions(table: str, names: Sequence[str], known: Iterable[str]) -> None:
    seen = {_fold(name): name for name in known}
    for name in names:
        other = seen.setdefault(_fold(name), name)
        if other == name and names.count(name) == 1:
            continue
        what = f"there are two columns {name!r}"
        if other != name:
            what = f"the columns {other!r} and {name!r} differ only by case, blanks or composition"
        raise SchemaConflict(
            f"{table}: {what}",
            unharmed=_UNCHANGED,
            next_step="rename or drop one of them in the source's spec",
        )


def _fold(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _format_type(kind: pa.DataType) -> str:
    return str(kind).replace("large_", "").replace("[us, tz=UTC]", " with time zone").replace("[us]", "")
