"""A plan as it is shown: folded to a few lines, and whole as JSON."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from millpond.backfill.plan import Chunk, Estimate, Item, Plan, State
from millpond.cli.backfill_plan_view import fold_items, plan_as_json, print_plan
from millpond.partitions import Window

FIRST = dt.date(2026, 1, 1)
DAYS = [FIRST + dt.timedelta(days=n) for n in range(30)]


def stale(asset: str, day: dt.date, of: dt.date) -> Item:
    return Item(asset, day, State.STALE, f"raw of {of} changed", True)


def plan(estimate: Estimate | None = None) -> Plan:
    items = [Item("raw", day, State.FRESH, "up to date", False) for day in DAYS]
    items += [stale("stg", day, day) for day in DAYS[:10]]
    items.append(Item("overview", None, State.MISSING, "not materialized", True))
    chunks = (
        Chunk(1, ("stg",), Window.of_days(DAYS[0], DAYS[9])),
        Chunk(2, ("overview",), None),
    )
    return Plan("raw*", "main", "c0de", tuple(items), chunks, estimate)


def test_days_in_a_row_that_stand_alike_are_one_line_for_all_their_assets() -> None:
    items = [stale(asset, day, day) for day in DAYS for asset in ("stg", "fct")]
    assert list(fold_items(items)) == [
        (["stg", "fct"], f"{DAYS[0]}...{DAYS[-1]}", State.STALE, "raw of that day changed", True)
    ]


def test_a_day_that_is_told_apart_has_a_line_of_its_own() -> None:
    items = [stale("fct", DAYS[0], DAYS[0]), stale("fct", DAYS[1], DAYS[0])]
    assert [(days, why) for _, days, _, why, _ in fold_items(items)] == [
        (str(DAYS[0]), "raw of that day changed"),
        (str(DAYS[1]), "raw of the day before changed"),
    ]


def test_the_runs_and_the_basis_of_the_estimate_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan(Estimate(75.0, "the last run of these assets: 5 s a day")))
    shown = capsys.readouterr().out
    assert "1 not materialized, 10 stale, 30 fresh" in shown
    assert "2026-01-01...2026-01-10 (10)" in shown
    assert "11 to do in 2 runs, 30 unchanged" in shown
    assert "expected to take 75 s, based on the last run of these assets: 5 s a day" in shown


def test_json_holds_every_partition_and_every_run() -> None:
    found = json.loads(json.dumps(plan_as_json(plan())))
    assert len(found["items"]) == 41
    assert found["items"][-1] == {
        "asset": "overview",
        "partition": None,
        "state": "not materialized",
        "reason": "not materialized",
        "todo": True,
    }
    assert [(chunk["number"], chunk["window"]) for chunk in found["chunks"]] == [
        (1, "2026-01-01...2026-01-10"),
        (2, None),
    ]
    assert found["estimate"] is None
