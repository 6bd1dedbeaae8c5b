"""A DuckDB file is read as it is, without a driver."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from database_tables import DAY, load_shop, orders, spec_of, the_error
from millpond.errors import SourceRefused, SourceUnreachable
from millpond.settings import Settings

Write = Callable[[str], None]


@pytest.fixture
def write(shop: None, configure: Callable[..., Settings], tmp_path: Path) -> Write:
    """Return a function that runs statements in the file that the source is."""
    configure(shop_url=f"duckdb:///{tmp_path}/shop.duckdb")

    def run(statements: str) -> None:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
            connection.execute(statements)

    return run


def test_values_of_each_type_are_loaded(write: Write) -> None:
    write(
        """create table orders as select 1 as id, 1.10::decimal(18,2) as amount, 2::hugeint as many,
        255::utinyint as small, true as paid, 'ab'::blob as raw, 'x'::enum('x', 'y') as state,
        timestamp '2026-11-02 12:00' as naive, timestamptz '2026-11-02 14:00:00+02' as at,
        date '2026-11-02' as d,
        interval 2 day as wait, [1, 2] as list, {'a': 1.10} as obj, uuid() as u, '{"a": 1.10}'::json as j,
        time '12:00' as t, null as nothing"""
    )
    at = dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)
    expected = {
        "amount": ("decimal(18,2)", Decimal("1.10")),
        "many": ("int", 2),
        "small": ("int", 255),
        "paid": ("bool", True),
        "raw": ("string", "YWI="),
        "state": ("string", "x"),
        "naive": ("timestamp", at),
        "at": ("timestamp", at),
        "d": ("date", DAY),
        "wait": ("string", "2 days"),
        "list": ("json", "[1,2]"),
        "j": ("json", '{"a": 1.10}'),
        "t": ("string", "12:00:00"),
    }
    result = load_shop(spec_of({name: kind for name, (kind, _) in expected.items()}))
    assert not result.failed, result.failed
    (row,) = orders(*expected)
    assert row == {name: value for name, (_, value) in expected.items()}


def test_days_of_a_schema_with_dots_are_read(write: Write) -> None:
    write(
        'create schema "a.b"; create table "a.b"."my orders" as select n as id,'
        " timestamptz '2026-11-01 12:00:00+00' + interval (n) hour as at from range(48) t(n)"
    )
    source = spec_of({"at": "timestamp"}, event_time={"column": "at"}, sql={"table": '"a.b"."my orders"'})
    assert not load_shop(source).failed
    assert orders("id") == list(range(12, 36))


def test_a_table_or_a_file_that_is_not_there_is_an_error(write: Write) -> None:
    error = the_error(load_shop(spec_of({})))
    assert isinstance(error, SourceUnreachable)
    write("create table order_lines (id int)")
    error = the_error(load_shop(spec_of({}, sql={"table": "order_line"})))
    assert isinstance(error, SourceRefused)
    assert "order_lines" in str(error)
