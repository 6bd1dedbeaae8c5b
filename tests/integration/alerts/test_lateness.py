"""Late is what does not hold a day by when it should: per asset and per day, whatever else was made."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.finders.late import find_missing, record_unpublished
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.instance.record import UNFINISHED_TAG
from millpond.partitions import latest_complete_day
from millpond.settings import settings

pytestmark = pytest.mark.usefixtures("clock")
DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
POLICY = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=1))
EARLY, NEVER = "00:00", None


def made(name: str, deps: list[str], *, daily: bool = True, layer: str = "gold") -> dg.AssetsDefinition:
    @dg.asset(
        key=name.split("/"),
        deps=[dg.AssetKey(dep.split("/")) for dep in deps],
        partitions_def=DAYS if daily else None,
        freshness_policy=POLICY if deps or daily else None,
        tags={"layer": layer},
        owners=["team:growing"],
    )
    def asset() -> None: ...

    return asset


KNOWN = AssetFacts.of(
    [
        made("calendar", [], daily=False),
        made("raw", [], layer="raw"),
        made("facts", ["raw", "calendar"]),
        made("overview", ["facts"], daily=False),
        made("marts/overview", ["overview"], daily=False, layer="marts"),
    ]
)
CHAIN = ("raw", "facts", "overview", "marts/overview")


@pytest.fixture
def yesterday() -> dt.date:
    return latest_complete_day(settings().zone)


def put(recorded: dg.DagsterInstance, *names: str, day: dt.date, unfinished: bool = False) -> None:
    """Put on record that assets were made just now, those with days for `day`."""
    for name in names:
        recorded.report_runless_asset_event(
            dg.AssetMaterialization(
                name.split("/"),
                partition=str(day) if name in KNOWN.daily else None,
                tags={UNFINISHED_TAG: "true"} if unfinished else None,
            )
        )


def look(recorded: dg.DagsterInstance, late_after_days: int = 0, published_by: str | None = NEVER) -> None:
    routing = Routing(late_after_days=late_after_days, published_by=published_by, quarantine_above=1)
    find_alerts(recorded, settings(), routing, KNOWN)


def open_now(rows: Any, kind: str) -> set[tuple[str, str]]:
    statement = f"select assets, partition from alerts where resolved_at is null and kind = '{kind}'"
    return {(row["assets"][0], row["partition"]) for row in rows(statement)}


def due_day(rows: Any) -> dt.date:
    (day,) = {day for _, day in open_now(rows, "partition_late")}
    return dt.date.fromisoformat(day)


def test_assets_that_were_never_made_are_late_those_without_days_too(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    look(recorded, late_after_days=1)
    assert {name for name, _ in open_now(rows, "partition_late")} == set(CHAIN)


@pytest.mark.parametrize("loaded", [False, True])
def test_what_rests_on_a_source_without_address_is_late_only_if_it_was_ever_loaded(
    recorded: dg.DagsterInstance, rows: Any, *, loaded: bool
) -> None:
    routing = Routing(late_after_days=1, published_by=EARLY)
    mart = made("marts/facts", ["facts"], layer="marts")
    assets = [made("raw", [], layer="raw"), made("facts", ["raw"]), mart]
    if loaded:
        put(recorded, "raw", day=settings().start_date)
    expected = {"raw", "facts", "marts/facts"} if loaded else set()
    find_alerts(recorded, settings(), routing, AssetFacts.of(assets, {"raw"}))
    assert {name for name, _ in open_now(rows, "partition_late")} == expected
    assert {name for name, _ in open_now(rows, "not_published")} == expected & {"marts/facts"}


def test_what_was_late_is_over_once_nobody_waits_for_its_source(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    routing = Routing(late_after_days=1, published_by=EARLY)
    assets = [made("raw", [], layer="raw"), made("marts/raw", ["raw"], layer="marts")]
    find_alerts(recorded, settings(), routing, AssetFacts.of(assets))
    assert {name for name, _ in open_now(rows, "partition_late")} == {"raw", "marts/raw"}
    find_alerts(recorded, settings(), routing, AssetFacts.of(assets, {"raw"}))
    assert (open_now(rows, "partition_late"), open_now(rows, "not_published")) == (set(), set())


def test_old_days_made_now_leave_an_asset_late_and_the_day_itself_ends_it(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    look(recorded, late_after_days=1)
    day = due_day(rows)
    put(recorded, "raw", "facts", day=day - dt.timedelta(days=30))
    look(recorded, late_after_days=1)
    assert {("raw", str(day)), ("facts", str(day))} <= open_now(rows, "partition_late")
    put(recorded, *CHAIN, day=day)
    look(recorded, late_after_days=1)
    assert open_now(rows, "partition_late") == set()


def test_a_day_that_was_loaded_before_its_end_is_late_all_the_same(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    look(recorded, late_after_days=1)
    day = due_day(rows)
    put(recorded, "raw", day=day, unfinished=True)
    look(recorded, late_after_days=1)
    assert ("raw", str(day)) in open_now(rows, "partition_late")


def test_a_mart_that_does_not_hold_yesterday_in_time_is_told_with_where_it_hangs(
    recorded: dg.DagsterInstance, rows: Any, yesterday: dt.date
) -> None:
    put(recorded, "raw", day=yesterday)
    look(recorded, published_by=EARLY)
    (told,) = rows("select title, reason, severity, owners from alerts where kind = 'not_published'")
    assert told == {
        "title": f"marts/overview does not hold {yesterday} yet",
        "reason": "It was due by 00:00; facts was not materialized from it.",
        "severity": "error",
        "owners": ["team:growing"],
    }
    put(recorded, "facts", "overview", "marts/overview", day=yesterday)
    look(recorded, published_by=EARLY)
    assert open_now(rows, "not_published") == set()


def test_before_the_hour_and_without_one_nothing_is_said(recorded: dg.DagsterInstance, rows: Any) -> None:
    look(recorded)
    assert open_now(rows, "not_published") == set()
    with outbox() as connection:
        for minute, new in ((59, 0), (60, 1), (61, 0)):
            now = dt.datetime(2026, 11, 22, 6, tzinfo=settings().zone) + dt.timedelta(minutes=minute)
            assert record_unpublished(connection, settings(), KNOWN, "07:00", now) == new


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([("raw", True), "facts", "overview", "marts/overview"], "raw was not materialized from it"),
        (["facts", "overview", "marts/overview", "raw"], "facts was not materialized from it"),
        (["raw", "overview", "marts/overview", "facts"], "overview was not materialized from it"),
        (["raw", "facts", "overview"], "marts/overview was not materialized from it"),
        (["raw", "facts", "overview", "marts/overview"], ""),
        (["raw", "facts", "overview", "marts/overview", "raw"], ""),
    ],
)
def test_each_asset_on_the_way_must_have_been_made_after_those_before_it(
    recorded: dg.DagsterInstance, yesterday: dt.date, events: list[Any], why: str
) -> None:
    for event in events:
        name, unfinished = event if isinstance(event, tuple) else (event, False)
        put(recorded, name, day=yesterday, unfinished=unfinished)
    assert find_missing("marts/overview", yesterday, KNOWN, settings()) == why
