"""The Postgres type of each Arrow type: how values are sent, and the sum that proves that they arrived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millpond.errors import PublishFailed
from millpond.publish import binary_copy


@dataclass(frozen=True)
class PostgresType:
    """A type in both worlds.

    `arrow` is what the encoder takes, `sql` the type's name as Postgres writes it. The sum over a column
    is computed on both sides, exactly: `total_sql` in Postgres, `total` in Arrow; `total_sql_17` is what a
    server before version 18 needs instead, which does not cast bytes to integers.
    """

    arrow: pa.DataType
    sql: str
    encode: binary_copy.Encoder
    total_sql: str
    total: Callable[[Any], Any]
    total_sql_17: str | None = None


def find_type(table: str, field: pa.Field) -> PostgresType:
    """Return the Postgres type of a column; raises PublishFailed for a type that Postgres does not have."""
    found = _map_type(field.type)
    if found is None:
        raise PublishFailed(
            f"column {field.name} of {table} has the type {field.type}, which cannot be published",
            unharmed="the marts as they were before",
            next_step="cast it in the model to a plain type, for example to varchar as JSON text",
        )
    return found


def _map_type(arrow: pa.DataType) -> PostgresType | None:
    if pa.types.is_integer(arrow):
        return _map_integer(arrow)
    if pa.types.is_float32(arrow) or pa.types.is_float64(arrow):
        return _map_float(arrow)
    if pa.types.is_decimal128(arrow):
        name = f"numeric({arrow.precision},{arrow.scale})"
        wide = pa.decimal256(76, arrow.scale)
        return PostgresType(
            arrow, name, binary_copy.encode_decimal, "sum({0})", lambda c: pc.sum(c.cast(wide)).as_py()
        )
    if pa.types.is_timestamp(arrow):
        return _map_timestamp(arrow)
    return next((kind for test, kind in _SIMPLE if test(arrow)), None)


def _map_integer(arrow: pa.DataType) -> PostgresType | None:
    width = arrow.bit_width * (1 if pa.types.is_signed_integer(arrow) else 2)
    for bits, name, wide in (
        (16, "smallint", pa.int16()),
        (32, "integer", pa.int32()),
        (64, "bigint", pa.int64()),
    ):
        if width <= bits:
            form = f">i{bits // 8}"
            return PostgresType(wide, name, binary_copy.make_number_encoder(form), "sum({0}::bigint)", _sum)
    return None


def _map_float(arrow: pa.DataType) -> PostgresType:
    """Sum the floats' bits as integers; NaN, which has many, is counted apart, and -0 counts as 0."""
    size, name, integer, bits = (
        (4, "real", "integer", pa.int32())
        if pa.types.is_float32(arrow)
        else (8, "double precision", "bigint", pa.int64())
    )

    def total(column: Any) -> Any:
        nan = pc.is_nan(column)
        plain = pc.add(column.filter(pc.invert(pc.fill_null(nan, True))), pa.scalar(0.0, arrow))
        views = pa.chunked_array([c.view(bits) for c in plain.chunks], bits)
        return f"{_sum(views) or 0} {pc.sum(nan).as_py() or 0}"

    sent = f"float{size}send({{0}} + 0::float{size})"
    total_sql, total_sql_17 = (
        f"coalesce(sum(({as_integer})::bigint) filter (where {{0}} <> 'NaN'), 0)"
        " || ' ' || count(*) filter (where {0} = 'NaN')"
        for as_integer in (
            f"{sent}::{integer}",
            f"('x' || encode({sent}, 'hex'))::bit({8 * size})::{integer}",
        )
    )
    return PostgresType(
        arrow, name, binary_copy.make_number_encoder(f">f{size}"), total_sql, total, total_sql_17
    )


def _map_timestamp(arrow: pa.DataType) -> PostgresType:
    zone = "with" if arrow.tz else "without"
    return PostgresType(
        pa.timestamp("us", "UTC" if arrow.tz else None),
        f"timestamp {zone} time zone",
        binary_copy.encode_timestamp,
        f"sum(timestamp{'tz' if arrow.tz else ''}_send({{0}})::bigint)"
        f" + count({{0}})::numeric * {binary_copy.MICROSECONDS_TO_2000}",
        _sum,
        "sum(extract(epoch from {0})) * 1000000",
    )


def _sum(column: Any) -> int | None:
    """Return the exact sum of 64-bit integers, or of what is one inside: of their halves, which fit."""
    whole = column.cast(pa.int64())
    high = pc.sum(pc.shift_right(whole, 32)).as_py()
    low = pc.sum(pc.bit_wise_and(whole, 0xFFFFFFFF)).as_py()
    return None if high is None else (high << 32) + low


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def _is_bytes(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow)
    )


def _sum_lengths(column: Any) -> Any:
    return _sum(pc.binary_length(column))


_SIMPLE: tuple[tuple[Callable[[pa.DataType], bool], PostgresType], ...] = (
    (
        _is_text,
        PostgresType(
            pa.large_string(), "text", binary_copy.encode_bytes, "sum(octet_length({0}))", _sum_lengths
        ),
    ),
    (
        _is_bytes,
        PostgresType(
            pa.large_binary(), "bytea", binary_copy.encode_bytes, "sum(octet_length({0}))", _sum_lengths
        ),
    ),
    (
        pa.types.is_boolean,
        PostgresType(
            pa.bool_(),
            "boolean",
            binary_copy.encode_boolean,
            "sum({0}::integer)",
            lambda c: pc.sum(c.cast(pa.int64())).as_py(),
        ),
    ),
    (
        pa.types.is_date32,
        PostgresType(
            pa.date32(),
            "date",
            binary_copy.encode_date,
            "sum(({0} - date '1970-01-01')::bigint)",
            lambda c: _sum(c.cast(pa.int32())),
        ),
    ),
    (
        pa.types.is_time64,
        PostgresType(
            pa.time64("us"),
            "time without time zone",
            binary_copy.encode_time,
            "sum(time_send({0})::bigint)",
            _sum,
            "sum(extract(epoch from {0})) * 1000000",
        ),
    ),
)
