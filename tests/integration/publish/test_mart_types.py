"""Every type that a gold table may have arrives in Postgres as it was, to the last bit."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.errors import PublishFailed
from millpond.lake import read
from millpond.publish import binary_copy
from millpond.publish.postgres_types import find_type
from millpond.publish.publication import publish
from millpond.publish.spec import MartSpec

Connection = psycopg.Connection[Any]
UTC = dt.UTC
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (pa.string(), ["", "naïve 🙈 ‮rtl", "e\u0301", "a\tb\nc\\N\"'", "x" * 70_000]),
    "flag": (pa.bool_(), [True, False]),
    "whole": (pa.int32(), [0, -1, 2**31 - 1, -(2**31)]),
    "large": (pa.int64(), [0, -1, 2**63 - 1, -(2**63)]),
    "real": (pa.float32(), [0.0, 1.5, -3.25, math.inf]),
    "double": (pa.float64(), [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]),
    "price": (
        pa.decimal128(10, 2),
        [Decimal(t) for t in ("0.00", "0.01", "-0.01", "99999999.99", "-10000.00")],
    ),
    "huge": (pa.decimal128(38, 10), [Decimal(f"{'9' * 28}.{'9' * 10}"), Decimal(f"-{'1' * 28}.0000000001")]),
    "count": (pa.decimal128(20, 0), [Decimal(10**19), Decimal(-12345678), Decimal(10000)]),
    "day": (
        pa.date32(),
        [dt.date(1970, 1, 1), dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
    ),
    "moment": (
        pa.timestamp("us", "UTC"),
        [dt.datetime(2026, 3, 29, 1, 59, 59, 999_999, UTC), dt.datetime(1899, 12, 31, tzinfo=UTC)],
    ),
    "local": (pa.timestamp("us"), [dt.datetime(2026, 10, 25, 2, 30), dt.datetime(1, 1, 1)]),
    "time": (pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999_999)]),
    "octets": (pa.binary(), [b"", b"\0\xff", bytes(range(256))]),
}

MANY = 20_000
"""Rows of each value, whose sums exceed 64 bits."""


@pytest.mark.parametrize("name", VALUES)
def test_each_type_is_the_same_in_iceberg_and_postgres(
    name: str, write: Callable[..., None], spec: Callable[..., MartSpec], reader: Connection
) -> None:
    arrow, values = VALUES[name]
    write(mrt_typed=pa.table({"id": range(len(values) + 1), name: pa.array([*values, None], arrow)}))
    publish([spec("mrt_typed", key=["id"])], ref="main", run_id="r1")
    lake = read.scan("main", "gold.mrt_typed").sort_by("id")[name].to_pylist()
    reader.execute("SET TIME ZONE 'UTC'")
    mart = reader.execute(f'SELECT "{name}" FROM marts.mrt_typed ORDER BY id')  # type: ignore[arg-type]
    assert [_exact(v) for (v,) in mart] == [_exact(v) for v in lake]
    kind = find_type("t", pa.field(name, arrow))
    totals = f"SELECT {kind.total_sql}, {kind.total_sql_17 or kind.total_sql} FROM marts.mrt_typed"
    totals = totals.format(f'"{name}"')
    newest, before_18 = reader.execute(totals).fetchone()  # type: ignore[misc]
    assert newest == before_18
    many = reader.execute(f"{totals}, generate_series(1, {MANY})").fetchone()
    assert many == (_repeat(newest), _repeat(newest)), "no sum overflows in a large mart"


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())])], ids=["list", "struct"]
)
def test_a_nested_column_is_refused_with_its_name(
    kind: pa.DataType, write: Callable[..., None], spec: Callable[..., MartSpec], home: object
) -> None:
    write(mrt_nested=pa.table({"id": [1], "parts": pa.array([None], kind)}))
    with pytest.raises(PublishFailed, match=r"column parts of gold\.mrt_nested"):
        publish([spec("mrt_nested", key=["id"])], ref="main", run_id="r1")


@given(
    st.lists(
        st.tuples(
            st.none()
            | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.decimals(-(10**20), 10**20, places=5),
            st.none() | st.decimals(-(10**6), 10**6, places=1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.dates(),
            st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 3),
)
def test_the_stream_equals_the_one_psycopg_writes(rows: list[tuple[Any, ...]], skipped: int) -> None:
    kinds = [
        pa.string(),
        pa.int64(),
        pa.decimal128(38, 5),
        pa.decimal128(9, 1),
        pa.float64(),
        pa.date32(),
        pa.bool_(),
    ]
    columns = [
        pa.array([None] * skipped + list(c), k) for c, k in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    table = pa.table(columns, [f"c{i}" for i in range(len(kinds))]).slice(skipped)
    found = [find_type("t", field) for field in table.schema]
    table = table.cast(pa.schema([(f.name, k.arrow) for f, k in zip(table.schema, found, strict=True)]))
    stream = b"".join(binary_copy.encode_table(table, [k.encode for k in found]))
    assert _decoded(stream) == _decoded(_by_psycopg(rows))


def _repeat(total: Any) -> Any:
    """Return what a sum is of MANY times as many rows; that of floats is a text of two numbers."""
    if isinstance(total, str):
        return " ".join(str(int(part) * MANY) for part in total.split())
    with localcontext(prec=100):
        return total * MANY


def _by_psycopg(rows: list[tuple[Any, ...]]) -> bytes:
    from psycopg.adapt import Transformer

    types = ["text", "int8", "numeric", "numeric", "float8", "date", "bool"]
    transformer = Transformer()
    transformer.set_dumper_types([psycopg.adapters.types[t].oid for t in types], psycopg.pq.Format.BINARY)
    body = b""
    for row in rows:
        body += len(row).to_bytes(2)
        for value in transformer.dump_sequence(row, [psycopg.adapt.PyFormat.BINARY] * len(row)):
            body += b"\xff" * 4 if value is None else len(value).to_bytes(4) + bytes(value)
    return binary_copy.HEADER + body + binary_copy.TRAILER


def _decoded(stream: bytes) -> list[list[bytes | tuple[Any, ...] | None]]:
    """Return the fields of each row; numerics as what Postgres makes of them, without zero digits."""
    rows, at = [], len(binary_copy.HEADER)
    while (count := int.from_bytes(stream[at : at + 2], signed=True)) != -1:
        at += 2
        row: list[bytes | tuple[Any, ...] | None] = []
        for index in range(count):
            length = int.from_bytes(stream[at : at + 4], signed=True)
            value = None if length < 0 else stream[at + 4 : at + 4 + length]
            row.append(_numeric(value) if index in (2, 3) and value else value)
            at += 4 + max(length, 0)
        rows.append(row)
    assert at + 2 == len(stream)
    return rows


def _numeric(value: bytes) -> tuple[Any, ...]:
    count, weight, sign, _scale, *digits = (
        int.from_bytes(value[i : i + 2], signed=i < 4) for i in range(0, len(value), 2)
    )
    assert count == len(digits)
    total = sum(d * 10_000 ** (weight - i + 10) for i, d in enumerate(digits))
    return total, sign if total else 0


def _exact(value: Any) -> str:
    """Return a text that differs for 0.0 and -0.0 and does not for two NaN, or two names of UTC."""
    return repr(value.astimezone(UTC) if isinstance(value, dt.datetime) and value.tzinfo else value)
