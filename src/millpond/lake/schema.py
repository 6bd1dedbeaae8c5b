"""How a table's columns may change: new ones are added, numbers widen, anything else is a conflict."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.types import IcebergType

from millpond.errors import SchemaConflict

_UNCHANGED = "the table; its rows and columns are as before"


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema in which the rows of an Iceberg schema are written and compared."""
    return schema_to_pyarrow(schema, include_field_ids=False).remove_metadata()


def evolved(table: str, current: pa.Schema | None, *wanted: pa.Schema) -> pa.Schema:
    """Return the schema that holds the columns of `current`, then those that `wanted` add.

    A column whose type is null adds nothing: an all-null column is typed by whoever knows its type.
    Raises SchemaConflict for a type that does not fit and for names that differ only by case,
    blanks or Unicode composition.
    """
    columns: dict[str, pa.DataType] = {f.name: f.type for f in current or ()}
    for column in (f for schema in wanted for f in schema):
        if pa.types.is_null(column.type):
            continue
        kind = storable(table, column.name, column.type)
        known = columns.get(column.name)
        columns[column.name] = kind if known is None else _fitted(table, column.name, known, kind)
    _refuse_collisions(table, columns)
    _refuse_collisions(table, [f.name for s in wanted for f in s], columns)
    return pa.schema(list(columns.items()))


def stage(update: UpdateSchema, current: pa.Schema, target: pa.Schema, comments: Mapping[str, str]) -> None:
    """Stage on `update` what turns `current` into `target`."""
    fresh = _iceberg_types(target)
    for column in target:
        if column.name not in current.names:
            update.add_column((column.name,), fresh[column.name], doc=comments.get(column.name))
        elif column.type != current.field(column.name).type:
            update.update_column((column.name,), field_type=fresh[column.name])


def storable(table: str, column: str, kind: pa.DataType) -> pa.DataType:
    """Return the type in which Iceberg stores values of `kind`; raises SchemaConflict if in none."""
    t = pa.types
    if t.is_dictionary(kind):
        return storable(table, column, kind.value_type)
    if t.is_list(kind) or t.is_large_list(kind):
        return pa.large_list(pa.field("element", storable(table, column, kind.value_type)))
    if t.is_struct(kind):
        return pa.struct([pa.field(f.name, storable(table, column, f.type)) for f in kind])
    if t.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    for matches, stored in _STORED:
        if matches(kind):
            return stored
    if t.is_decimal128(kind) or t.is_fixed_size_binary(kind):
        return kind
    raise SchemaConflict(
        f"{table}.{column}: Iceberg has no column type for {kind}",
        unharmed=_UNCHANGED,
        next_step="cast it to a type Iceberg knows: bigint, double, decimal, varchar, date, timestamp",
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


def _fitted(table: str, column: str, known: pa.DataType, kind: pa.DataType) -> pa.DataType:
    t = pa.types
    if (
        known == kind
        or (t.is_integer(known) and t.is_int32(kind))
        or (t.is_floating(known) and t.is_float32(kind))
    ):
        return known
    if (t.is_int32(known) and t.is_int64(kind)) or (t.is_float32(known) and t.is_float64(kind)):
        return kind
    if t.is_float64(known) and t.is_integer(kind):
        return known
    if t.is_decimal(known) and t.is_decimal(kind) and known.scale == kind.scale:
        return known if known.precision >= kind.precision else kind
    if t.is_decimal(known) and t.is_integer(kind):
        return known
    raise SchemaConflict(
        f"{table}.{column} is {_word(known)} in the table and {_word(kind)} in the data",
        unharmed=_UNCHANGED,
        next_step="cast the data to the table's type, or give the new values a column of their own",
    )


def _refuse_collisions(table: str, names: Iterable[str], known: Iterable[str] = ()) -> None:
    seen = {_folded(name): name for name in known}
    count: dict[str, int] = {}
    for name in names:
        other = seen.setdefault(_folded(name), name)
        if other != name:
            raise SchemaConflict(
                f"{table}: the columns {other!r} and {name!r} differ only by case, blanks or composition",
                unharmed=_UNCHANGED,
                next_step="rename or drop one of them in the source's spec",
            )
        count[name] = count.get(name, 0) + 1


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _word(kind: pa.DataType) -> str:
    return str(kind).replace("large_", "").replace("[us, tz=UTC]", " with time zone").replace("[us]", "")


def _iceberg_types(schema: pa.Schema) -> dict[str, IcebergType]:
    return {f.name: f.field_type for f in Catalog._convert_schema_if_needed(schema).fields}
