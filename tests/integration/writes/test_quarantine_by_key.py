"""Rows in quarantine of tables written by key are merged as a load merges them, once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from millpond.ingestion.load import load
from millpond.ingestion.replay import Decision, replay
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window

DAY = dt.date(2026, 11, 1)
NEXT = DAY + dt.timedelta(1)
DAYS = Window.of_days(DAY, NEXT)


def row(id: int | None, day: dt.date = DAY, amount: Any = 1, version: int = 0) -> dict[str, Any]:
    at = f"{day}T12:00:00Z"
    return {"id": id, "at": at, "amount": amount, "version": version, "updated_at": at}


def spec_of(served: list[dict[str, Any]], most: int = 100, **more: Any) -> SourceSpec:
    declared = {
        "name": "orders",
        "resource": lambda start, end: iter(served),
        "key": ["id"],
        "event_time": {"column": "at"},
        "load": "changes",
        "changes": {"column": "updated_at"},
        "columns": {
            "id": "int",
            "at": "timestamp",
            "amount": {"type": "int", "max": most, "on_bad": "quarantine"},
            "version": "int",
            "updated_at": "timestamp",
        },
        "quarantine": {"fail_above": 1},
        **more,
    }
    return SourceSpec.model_validate({"source": "shop", "tables": [declared]})


def take(*served: dict[str, Any], **more: Any) -> None:
    spec = spec_of(list(served), **more)
    assert not load(spec, spec.tables[0], DAYS, ref="main", run_id="test").failed


def settle(most: int, *, discard: bool = False, rule: str | None = None, **more: Any) -> LoadResult:
    spec = spec_of([], most, **more)
    decision = Decision(rule, "main", "replay", discard=discard)
    return replay(spec, spec.tables[0], DAYS, decision, {})


def rows() -> dict[int, tuple[dt.date, int]]:
    found = read.scan("main", "raw.orders").to_pylist()
    assert len({each["id"] for each in found}) == len(found)
    return {each["id"]: (each["_partition_date"], each["amount"]) for each in found}


def reasons() -> list[str]:
    found: list[str] = read.scan("main", "quarantine.orders")["reason"].to_pylist()
    return sorted(found)


@pytest.mark.usefixtures("home")
def test_a_row_that_passes_takes_the_place_of_the_one_with_its_key_on_another_day_once() -> None:
    take(row(1), row(2))
    take(row(1, NEXT, amount=500), row(3, amount=700), row(None))
    assert reasons() == ["amount is above 100", "amount is above 100", "id is missing"]
    result = settle(600)
    assert {day.partition for day in result.partitions} >= {DAY, NEXT}
    for _ in range(2):
        assert rows() == {1: (NEXT, 500), 2: (DAY, 1)}
        assert reasons() == ["amount is above 600", "id is missing"]
        settle(600)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("version", "amount"), [(1, 500), (9, 500), (0, 1)])
def test_of_two_rows_with_one_key_the_later_version_stays(version: int, amount: int) -> None:
    take(row(1, version=1), version="version")
    take(row(1, amount=500, version=version), version="version")
    settle(600, version="version")
    assert (rows(), reasons()) == ({1: (DAY, amount)}, [])


@pytest.mark.usefixtures("home")
def test_rows_are_chosen_by_rule_and_discarded() -> None:
    take(row(1), row(2, amount=500), row(3, amount="x"))
    settle(600, rule="amount:type")
    assert (rows(), len(reasons())) == ({1: (DAY, 1)}, 2)
    settle(100, discard=True, rule="amount:type")
    assert (rows(), reasons()) == ({1: (DAY, 1)}, ["amount is above 100"])
