"""What goes in comes out, value for value, by PyIceberg and by DuckDB alike."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lake_readings import DAY, day, days, spec
from millpond.lake import duck, read
from millpond.lake.tables import Replacement, replace

pytestmark = pytest.mark.usefixtures("home")

TEXTS = [
    "",
    "plain",
    "Zażółć gęślą jaźń",
    "😀🏳️‍🌈👩‍👩‍👧‍👦",
    "שלום עולם",
    "e\u0301 is not \u00e9",
    "nul\0inside",
    "line\nbreak\ttab\r",
    "'; drop table readings; --",
    '"quoted" \\back\\slash',
    "\u202ereversed",
    "\ufffe\U0010ffff",
    "x" * 100_000,
]


def _round_trip(column: pa.Array) -> tuple[list[Any], list[Any]]:
    data = pa.table({DAY: pa.array([day(0)] * len(column)), "n": pa.array(range(len(column))), "v": column})
    table = spec(schema=pa.schema([(DAY, pa.date32())]), key=())
    replace([Replacement(table, data, days(0, 0))], ref="main", run_id="run")
    by_pyiceberg = read.scan("main", "raw.readings").sort_by("n")["v"].to_pylist()
    with duck.connect() as connection:
        by_duckdb = [row[0] for row in connection.execute("select v from raw.readings order by n").fetchall()]
    return by_pyiceberg, by_duckdb


def test_texts_come_back_as_they_went_in() -> None:
    values = [*TEXTS, None]
    assert _round_trip(pa.array(values)) == (values, values)


def test_floats_come_back_by_their_bits() -> None:
    values = [0.0, -0.0, 0.1, 1e-320, 1.7976931348623157e308, math.inf, -math.inf]
    for found in _round_trip(pa.array([*values, math.nan])):
        assert [math.copysign(1, v) for v in found[:2]] == [1, -1]
        assert found[:-1] == values
        assert math.isnan(found[-1])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [0, -1, 2**63 - 1, -(2**63)]),
        (pa.bool_(), [True, False, None]),
        (pa.decimal128(38, 10), [Decimal("1234567890123456789.0123456789"), Decimal("-0.0000000001")]),
        (pa.date32(), [dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(9999, 12, 31)]),
        (pa.timestamp("us", "UTC"), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC), None]),
        (pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999)]),
        (pa.binary(), [b"", b"\x00\xff", None]),
    ],
    ids=str,
)
def test_each_type_comes_back_equal(kind: pa.DataType, values: list[Any]) -> None:
    by_pyiceberg, by_duckdb = _round_trip(pa.array(values, kind))
    assert by_pyiceberg == values
    assert by_duckdb == values
