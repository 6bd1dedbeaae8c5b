"""Rows asked for by the time of their change and written by key: the lake equals the source's state."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as search
from hypothesis import strategies as st

from millpond.errors import ConfigError, TooManyBadRows
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window

DAY = dt.date(2026, 11, 1)
Row = dict[str, Any]


class Orders:
    """A source's state: rows by id, each with the time of its last change."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    def put(self, id: int, day: int, changed: int, amount: Any = 1, version: int = 0) -> None:
        """Change a row on day number `changed`; it belongs to day number `day`."""
        at = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
        self.rows[id] = {
            "id": id,
            "at": (at + dt.timedelta(day)).isoformat(),
            "amount": amount,
            "version": version,
            "updated_at": (at + dt.timedelta(changed)).isoformat(),
        }

    def changed(self, start: dt.datetime, end: dt.datetime) -> list[Row]:
        """Return the rows that changed from `start` until before `end`."""
        return [r for r in self.rows.values() if start <= dt.datetime.fromisoformat(r["updated_at"]) < end]


def spec_of(orders: Orders, **more: Any) -> SourceSpec:
    declared = {
        "name": "orders",
        "resource": lambda start, end: iter(orders.changed(start, end)),
        "key": ["id"],
        "event_time": {"column": "at"},
        "load": "changes",
        "changes": {"column": "updated_at"},
        "columns": {
            "id": "int",
            "at": "timestamp",
            "amount": {"type": "int", "max": 100, "on_bad": "quarantine"},
            "version": "int",
            "updated_at": "timestamp",
        },
        **more,
    }
    return SourceSpec.model_validate({"source": "shop", "tables": [declared]})


def take(spec: SourceSpec, first: int, last: int | None = None) -> LoadResult:
    window = Window.of_days(DAY + dt.timedelta(first), DAY + dt.timedelta(first if last is None else last))
    return load(spec, spec.tables[0], window, ref="main", run_id="test")


def rows(table: str = "raw.orders") -> dict[int, tuple[dt.date, int]]:
    found = read.scan("main", table).to_pylist() if read.exists("main", table) else []
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: (row["_partition_date"], row["amount"]) for row in found}


def day(number: int) -> dt.date:
    return DAY + dt.timedelta(number)


@pytest.fixture
def orders(home: object) -> Orders:
    return Orders()


def test_a_changed_row_takes_the_place_of_the_one_there_and_the_others_of_its_day_stay(
    orders: Orders,
) -> None:
    spec = spec_of(orders)
    for number in range(4):
        orders.put(number, day=0, changed=0)
    take(spec, 0)
    orders.put(2, day=0, changed=3, amount=7)
    result = take(spec, 3)
    assert rows() == {0: (DAY, 1), 1: (DAY, 1), 2: (DAY, 7), 3: (DAY, 1)}
    assert [p.partition for p in result.partitions] == [day(0), day(3)]
    assert [p.rows_in_partition for p in result.partitions] == [4, 0]


def test_a_row_that_moved_leaves_its_old_day_and_both_days_are_reported(orders: Orders) -> None:
    spec = spec_of(orders)
    orders.put(1, day=0, changed=0)
    orders.put(2, day=0, changed=0)
    take(spec, 0)
    orders.put(2, day=1, changed=2)
    result = take(spec, 2)
    assert rows() == {1: (DAY, 1), 2: (day(1), 1)}
    assert [p.partition for p in result.partitions] == [day(0), day(1), day(2)]


def test_a_load_without_changes_commits_nothing(orders: Orders) -> None:
    spec = spec_of(orders)
    orders.put(1, day=0, changed=0)
    first, again = take(spec, 0), take(spec, 0)
    assert [p.snapshot_id for p in first.partitions] == [p.snapshot_id for p in again.partitions]
    assert [p.content_hash for p in first.partitions] == [p.content_hash for p in again.partitions]


def test_an_earlier_version_does_not_replace_a_later_one(orders: Orders) -> None:
    spec = spec_of(orders, version="version")
    orders.put(1, day=0, changed=0, amount=5, version=2)
    take(spec, 0)
    orders.put(1, day=0, changed=1, amount=4, version=1)
    take(spec, 1)
    assert rows() == {1: (DAY, 5)}


def test_in_a_log_the_first_row_of_a_key_stays(orders: Orders) -> None:
    spec = spec_of(orders, write="append")
    orders.put(1, day=0, changed=0, amount=5)
    take(spec, 0)
    orders.put(1, day=1, changed=1, amount=6)
    orders.put(2, day=1, changed=1)
    take(spec, 1)
    assert rows() == {1: (DAY, 5), 2: (day(1), 1)}


def test_a_row_that_became_good_leaves_the_quarantine_and_a_bad_change_keeps_the_good_row(
    orders: Orders,
) -> None:
    spec = spec_of(orders)
    orders.put(1, day=0, changed=0, amount=101)
    orders.put(2, day=0, changed=0)
    take(spec, 0)
    assert read.count("main", "quarantine.orders") == 1
    orders.put(1, day=0, changed=1, amount=100)
    orders.put(2, day=0, changed=1, amount=102)
    take(spec, 1)
    assert rows() == {1: (DAY, 100), 2: (DAY, 1)}
    kept = read.scan("main", "quarantine.orders").to_pylist()
    assert [row["row_key"] for row in kept] == ["2"]


def test_a_load_with_too_many_bad_rows_writes_none_of_them(orders: Orders) -> None:
    spec = spec_of(orders)
    for number in range(10):
        orders.put(number, day=number % 3, changed=0, amount=1 if number % 3 else 500)
    spec = spec_of(orders, quarantine={"fail_above": 0.1, "fail_at_least": 1})
    result = take(spec, 0)
    assert set(map(type, result.failed.values())) == {TooManyBadRows}
    assert rows() == {}


def test_changes_become_visible_late_within_the_declared_lag(orders: Orders) -> None:
    spec = spec_of(orders, changes={"column": "updated_at", "lag": "24h"})
    take(spec, 1)
    orders.put(1, day=0, changed=1)
    take(spec, 2)
    assert rows() == {1: (DAY, 1)}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"changes": None}, "load: changes needs the column"),
        ({"write": "replace"}, "cannot replace a day"),
        ({"changes": {"column": "nothing"}}, "which columns does not declare"),
        ({"load": "whole"}, "makes a table without days"),
        ({"load": "days"}, "load: changes needs"),
    ],
)
def test_axes_that_do_not_fit_are_refused(orders: Orders, more: dict[str, Any], reason: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=reason):
        spec_of(orders, **more)


change = st.tuples(st.integers(0, 5), st.integers(-2, 3), st.integers(1, 100))


@pytest.mark.parametrize("examples", [5, pytest.param(15, marks=pytest.mark.slow)])
def test_after_any_changes_the_lake_equals_the_state_of_the_source(home: object, examples: int) -> None:
    tried = search(max_examples=examples, suppress_health_check=list(HealthCheck))
    drawn = given(batches=st.lists(st.lists(change, max_size=6), min_size=1, max_size=4))
    tried(drawn(take_batches))()


def take_batches(batches: list[list[tuple[int, int, int]]]) -> None:
    """Load batches of changes, each on a day of its own, then all days again."""
    orders, expected = Orders(), dict[int, tuple[dt.date, int]]()
    name = f"orders_{uuid.uuid4().hex[:8]}"
    spec = spec_of(orders, name=name)
    for number, batch in enumerate(batches):
        for id, of, amount in batch:
            orders.put(id, day=of, changed=number, amount=amount)
            expected[id] = (day(of), amount)
        take(spec, number)
        assert rows(f"raw.{name}") == expected
    take(spec, 0, len(batches) - 1)
    assert rows(f"raw.{name}") == expected
