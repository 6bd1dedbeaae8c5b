"""SQLite's columns hold values of any type: each is judged for itself, and none fails its neighbours."""

from __future__ import annotations

import datetime as dt
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from database_tables import DAY, load_shop, orders, spec_of, the_error
from millpond.errors import SourceMalformed, SourceUnreachable
from millpond.settings import settings

NOON = dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)


def write(lite: sqlite3.Connection, kind: str, *values: object) -> None:
    lite.execute(f"create table orders (id integer primary key, value {kind})")
    lite.executemany("insert into orders (value) values (?)", [(value,) for value in values])
    lite.commit()


@pytest.mark.parametrize(
    ("kind", "value", "column", "loaded"),
    [
        ("integer", 2**63 - 1, "int", 2**63 - 1),
        ("numeric", 1.1, "decimal(10,2)", Decimal("1.10")),
        ("decimal(20,18)", 0.123456789012345678, "number", 0.123456789012345678),
        ("text", "1.10", "string", "1.10"),
        ("text", "1.10", "decimal(10,2)", Decimal("1.10")),
        ("boolean", 1, "bool", True),
        ("blob", b"\x00\xff", "string", "AP8="),
        ("date", "2026-11-02", "date", DAY),
        ("datetime", "2026-11-02T12:00:00", "timestamp", NOON),
        ("datetime", "2026-11-02 12:00:00.000000", "timestamp", NOON),
        ("text", "2026-11-02 14:00:00+02:00", "timestamp", NOON),
        ("", "any", "string", "any"),
        ("json", '{"a": 1.10}', "json", '{"a": 1.10}'),
    ],
)
def test_a_value_is_loaded_as_it_is(
    lite: sqlite3.Connection, kind: str, value: object, column: str, loaded: object
) -> None:
    write(lite, kind, value, None)
    result = load_shop(spec_of({"value": column}))
    assert not result.failed, result.failed
    assert orders("value") == [loaded, None]


def test_a_column_with_values_of_several_types_keeps_the_good_ones(lite: sqlite3.Connection) -> None:
    write(lite, "integer", 1, "many", 2.5, b"\xff", None, 2**62)
    result = load_shop(
        spec_of({"value": {"type": "int", "on_bad": "quarantine"}}, quarantine={"fail_above": 1})
    )
    assert not result.failed, result.failed
    assert orders("id", "value") == [
        {"id": 1, "value": 1},
        {"id": 5, "value": None},
        {"id": 6, "value": 2**62},
    ]


def test_a_type_that_changes_between_chunks_changes_no_value(lite: sqlite3.Connection) -> None:
    write(lite, "", *range(3), "text", 2.5, *range(3, 6), None, None, 10**17 + 1)
    result = load_shop(spec_of({"value": "string"}, sql={"chunk_rows": 1}))
    assert not result.failed, result.failed
    assert orders("value") == ["0", "1", "2", "text", "2.5", "3", "4", "5", None, None, str(10**17 + 1)]


def test_a_nul_character_makes_its_value_bad(lite: sqlite3.Connection) -> None:
    write(lite, "text", "a\0b", "good")
    assert not load_shop(spec_of({"value": "string"})).failed
    assert orders("value") == [None, "good"]


def test_text_that_is_not_utf_8_is_an_error_that_names_its_column(lite: sqlite3.Connection) -> None:
    write(lite, "text", "good")
    lite.execute("insert into orders (value) values (cast(x'ff41' as text))")
    lite.commit()
    error = the_error(load_shop(spec_of({"value": "string"})))
    assert isinstance(error, SourceMalformed)
    assert "'value'" in str(error)


def test_a_file_that_is_not_there_is_not_made(lite: sqlite3.Connection) -> None:
    lite.close()
    file = _file()
    file.unlink()
    error = the_error(load_shop(spec_of({"value": "string"})))
    assert isinstance(error, SourceUnreachable)
    assert not file.exists()


def test_a_file_that_is_no_database_is_an_error(lite: sqlite3.Connection) -> None:
    lite.close()
    _file().write_text("no database, but a text that is long enough to be looked at" * 100)
    assert isinstance(the_error(load_shop(spec_of({"value": "string"}))), SourceMalformed)


def _file() -> Path:
    return Path(str(settings().source("shop").url).removeprefix("sqlite:///"))
