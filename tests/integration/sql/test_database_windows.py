"""Days of a database: each row is in exactly one, whatever form its time has, in any zone."""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database_tables import load_shop, orders, spec_of
from millpond.settings import Settings

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, LAST = dt.date(2026, 10, 24), dt.date(2026, 10, 26)  # the 25th has 25 hours
NIGHT = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)  # midnight in Berlin
FORMS: dict[str, tuple[str, str, str, Callable[[dt.datetime], Any]]] = {
    # type in SQLite, type of the column, unit, value of an instant
    "space": ("timestamp", "timestamp", "iso", lambda at: str(at.replace(tzinfo=None))),
    "T": ("text", "timestamp", "iso", lambda at: at.replace(tzinfo=None).isoformat()),
    "fraction": ("datetime", "timestamp", "iso", lambda at: f"{at:%Y-%m-%d %H:%M:%S.%f}"),
    "offset": ("text", "timestamp", "iso", lambda at: at.astimezone(ZoneInfo("Asia/Tokyo")).isoformat()),
    "Z": ("datetime", "timestamp", "iso", lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}"),
    "ms": ("integer", "int", "ms", lambda at: int(at.timestamp() * 1000)),
    "s": ("integer", "int", "s", lambda at: int(at.timestamp())),
    "day": ("date", "date", "date", lambda at: str(at.astimezone(BERLIN).date())),
}
QUICK = ("offset", "ms", "day")
"""Of each type of a column one."""
SECONDS = st.one_of(
    st.integers(-3 * 3600, 76 * 3600), st.sampled_from([-1, 0, 1, 24 * 3600 - 1, 24 * 3600, 49 * 3600 - 1])
)


def day_of(at: dt.datetime) -> dt.date:
    return at.astimezone(BERLIN).date()


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form in QUICK else pytest.mark.slow) for form in FORMS]
)
def test_each_row_is_in_the_day_of_its_time_and_in_no_other(
    lite: sqlite3.Connection, configure: Callable[..., Settings], form: str
) -> None:
    configure(timezone="Europe/Berlin")
    kind, column, unit, write = FORMS[form]
    source = spec_of({"at": column}, event_time={"column": "at", "unit": unit}, shrink={"hold_below": 0})
    lite.execute(f"create table orders (id integer primary key, at {kind} not null)")

    @settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(SECONDS, min_size=1, max_size=30))
    def check(seconds: list[int]) -> None:
        times = [NIGHT + dt.timedelta(seconds=each) for each in seconds]
        lite.execute("delete from orders")
        lite.executemany("insert into orders values (?, ?)", [(n, write(at)) for n, at in enumerate(times)])
        lite.commit()
        wanted = {n: day_of(at) for n, at in enumerate(times) if FIRST <= day_of(at) <= LAST}
        for day in (FIRST, FIRST + dt.timedelta(1), LAST):
            result = load_shop(source, day)
            assert not result.failed, result.failed
        singly = {row["id"]: row["_partition_date"] for row in orders("id", "_partition_date")}
        assert singly == wanted
        result = load_shop(source, FIRST, LAST)
        assert not result.failed, result.failed
        assert {row["id"]: row["_partition_date"] for row in orders("id", "_partition_date")} == wanted

    check()


@pytest.mark.parametrize(
    ("kind", "unit", "form"),
    [
        ("timestamptz", "iso", "{at:%Y-%m-%d %H:%M:%S%z}"),
        ("timestamp", "iso", "{at:%Y-%m-%d %H:%M:%S}"),
        ("timestamp", "local", "{there:%Y-%m-%d %H:%M:%S}"),
        ("date", "date", "{there:%Y-%m-%d}"),
    ],
)
def test_days_of_23_and_25_hours_begin_and_end_at_midnight_of_the_zone(
    postgres: psycopg.Connection[Any], configure: Callable[..., Settings], kind: str, unit: str, form: str
) -> None:
    configure(timezone="Europe/Berlin")
    for first, hours in ((dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25)):
        postgres.execute("drop table if exists orders")
        postgres.execute(f"create table orders (id int, at {kind} not null)")
        start = dt.datetime.combine(first, dt.time(), BERLIN).astimezone(dt.UTC)
        moments = [start + dt.timedelta(minutes=30 * n) for n in range(-4, 2 * hours + 4)]
        for number, at in enumerate(moments):
            text = form.format(at=at, there=at.astimezone(BERLIN))
            postgres.execute("insert into orders values (%s, %s)", (number, text))
        column = "date" if kind == "date" else "timestamp"
        source = spec_of({"at": column}, event_time={"column": "at", "unit": unit})
        result = load_shop(source, first)
        assert not result.failed, result.failed
        inside = range(4, 2 * hours + 4)
        assert [row["id"] for row in orders("id", "_partition_date") if row["_partition_date"] == first] == [
            *inside
        ]


def test_a_local_time_is_stored_as_the_instant_it_is(
    postgres: psycopg.Connection[Any], configure: Callable[..., Settings]
) -> None:
    configure(timezone="Europe/Berlin")
    postgres.execute("create table orders (id int, at timestamp)")
    postgres.execute("insert into orders values (1, '2026-11-02 00:30')")
    source = spec_of({"at": "timestamp"}, event_time={"column": "at", "unit": "local"})
    assert not load_shop(source).failed
    assert orders("at") == [dt.datetime(2026, 11, 1, 23, 30, tzinfo=dt.UTC)]


def test_rows_without_a_time_are_counted_in_a_warning(
    postgres: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    postgres.execute("create table orders (id int, at timestamptz)")
    postgres.execute("insert into orders values (1, '2026-11-02 12:00+00'), (2, null), (3, null)")
    with caplog.at_level(logging.WARNING):
        assert not load_shop(spec_of({"at": "timestamp"}, event_time={"column": "at"})).failed
    assert orders("id") == [1]
    assert "2 rows of orders are not loaded, as they have no at" in caplog.text


def test_texts_that_are_no_time_are_counted_in_a_warning_too(
    postgres: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    postgres.execute("create table orders (id int, at text)")
    postgres.execute(
        "insert into orders values (1, '2026-11-02 12:00'), (2, ''), (3, '27.11.2026 12:00'), (4, null)"
    )
    with caplog.at_level(logging.WARNING):
        assert not load_shop(spec_of({"at": "timestamp"}, event_time={"column": "at"})).failed
    assert orders("id") == [1]
    assert "3 rows of orders are not loaded, as they have no at that can be read" in caplog.text


def test_what_sqlite_keeps_in_a_column_of_times_is_counted_where_it_is_no_time(
    lite: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    lite.execute("create table orders (id integer primary key, at datetime not null)")
    lite.execute("insert into orders values (1, '2026-11-02T12:00:00'), (2, ''), (3, '2.11.2026 12:00')")
    lite.commit()
    with caplog.at_level(logging.WARNING):
        assert not load_shop(spec_of({"at": "timestamp"}, event_time={"column": "at"})).failed
    assert orders("id") == [1]
    assert "2 rows of orders are not loaded" in caplog.text


def test_rows_that_changed_are_asked_for_with_the_lag_before(postgres: psycopg.Connection[Any]) -> None:
    postgres.execute("create table orders (id int, at date, changed timestamptz)")
    postgres.execute(
        "insert into orders values (1, '2026-10-01', '2026-11-01 22:59+00'),"
        " (2, '2026-10-02', '2026-11-01 23:00+00'), (3, '2026-10-03', '2026-11-02 23:59+00'),"
        " (4, '2026-10-04', '2026-11-03 00:00+00')"
    )
    source = spec_of(
        {"at": "date", "changed": "timestamp"},
        event_time={"column": "at", "unit": "date"},
        load="changes",
        changes={"column": "changed", "lag": "1h"},
    )
    result = load_shop(source)
    assert not result.failed, result.failed
    assert orders("id") == [2, 3]
