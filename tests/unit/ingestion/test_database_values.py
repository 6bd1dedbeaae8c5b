"""Values that a driver returns and Arrow has no type for, as text."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from millpond.ingestion.sql.arrow_rows import as_text, to_table
from millpond.ingestion.sql.tables import split_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("1.10"), "1.10"),
        (b"\x00\xff", "AP8="),
        (dt.timedelta(hours=-26, minutes=-30), "-26:30:00"),
        (dt.timedelta(hours=1, microseconds=5), "01:00:00.000005"),
        ([1, Decimal("1.10")], '[1, "1.10"]'),
        (True, "true"),
        (None, None),
    ],
)
def test_a_value_has_one_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_a_fraction_is_never_cut_off() -> None:
    assert to_table([(1, 2.5)], ["a"], [None])["a"].to_pylist() == [1.0, 2.5]
    assert to_table([(2**60 + 1, 2.5)], ["a"], [None])["a"].to_pylist() == [str(2**60 + 1), "2.5"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("orders", (None, "orders")),
        ("sales.orders", ("sales", "orders")),
        ('sales."my.orders"', ("sales", "my.orders")),
        ('"a""b"."c d"', ('a"b', "c d")),
    ],
)
def test_a_name_has_a_schema_before_its_last_dot(name: str, parts: tuple[str | None, str]) -> None:
    assert split_name(name) == parts
