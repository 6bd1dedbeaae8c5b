"""A chart that lacks its mart or a column is found against the models, against Postgres, and as an alert."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from psycopg import sql

from alerting import Rows
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.dashboards import record_broken_dashboards
from millpond.alerts.outbox import outbox
from millpond.bi.bundle import read_bundle
from millpond.bi.check import find_missing, find_stale, read_due, read_mart_columns
from millpond.bi.columns import Use, find_uses
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings

BUNDLE = Path(__file__).parents[3] / "bi"
READINGS, OVERVIEW = "mrt_glucose_readings", "mrt_glucose_overview"
POLICY = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=6))
NOON = dt.datetime(2026, 11, 3, 12, tzinfo=dt.UTC)


@pytest.fixture
def uses() -> list[Use]:
    return find_uses(read_bundle(BUNDLE))


@pytest.fixture
def marts(home: Home, uses: list[Use]) -> dict[str, set[str]]:
    """Marts in Postgres with just the columns that the charts read."""
    columns: dict[str, set[str]] = {}
    for use in uses:
        columns.setdefault(use.mart, set()).update(use.columns)
    with databases().marts.connect() as connection:
        for name, wanted in columns.items():
            each = sql.SQL(", ").join(sql.SQL("{} int").format(sql.Identifier(column)) for column in wanted)
            connection.execute(sql.SQL("create table marts.{} ({})").format(sql.Identifier(name), each))
    return columns


def alter(statement: str) -> None:
    with databases().marts.connect() as connection:
        connection.execute(statement.encode())


def facts(names: set[str]) -> AssetFacts:
    return AssetFacts(names=frozenset(f"marts/{name}" for name in names), owners={"marts/x": ()})


def test_nothing_is_missing_where_all_columns_are_there(marts: dict[str, set[str]], uses: list[Use]) -> None:
    assert find_missing(uses, read_mart_columns(), "marts") == []


def test_a_missing_column_is_named_with_the_charts_and_the_dashboard_that_read_it(
    marts: dict[str, set[str]], uses: list[Use]
) -> None:
    alter(f"alter table marts.{OVERVIEW} drop column gmi_7d_pct")
    alter(f"drop table marts.{READINGS}")
    gone, column = sorted(find_missing(uses, read_mart_columns(), "marts"), key=lambda p: p.kind)[::-1]
    assert str(column) == (
        f"mart {OVERVIEW} has no column gmi_7d_pct, which Glucose management indicator of Glucose reads"
    )
    assert (gone.kind, gone.mart) == ("missing", READINGS)
    assert "Current glucose" in gone.charts
    assert "is not in Postgres" in str(gone)


def test_a_model_that_drops_a_column_or_is_gone_is_found_without_marts(uses: list[Use]) -> None:
    models = {use.mart: set[str]().union(*(u.columns for u in uses if u.mart == use.mart)) for use in uses}
    assert find_missing(uses, models, "models") == []
    models[OVERVIEW].remove("time_in_range_7d_pct")
    del models[READINGS]
    said = [str(problem) for problem in find_missing(uses, models, "models")]
    assert (
        said[0]
        == f"model {OVERVIEW} has no column time_in_range_7d_pct, which Time in range of Glucose reads"
    )
    assert f"{READINGS} is published by no model" in said[1]


@pytest.mark.parametrize(
    ("published", "stale"),
    [
        (dt.datetime(2026, 11, 3, 1, tzinfo=dt.UTC), False),
        (dt.datetime(2026, 11, 2, 23, 59, tzinfo=dt.UTC), True),
        (None, False),
    ],
)
def test_a_mart_is_stale_that_was_not_published_since_the_last_day_that_is_due(
    uses: list[Use], published: dt.datetime | None, stale: bool
) -> None:
    due = read_due([dg.AssetSpec(["marts", OVERVIEW], freshness_policy=POLICY), dg.AssetSpec(["marts", "x"])])
    assert due == {OVERVIEW: dt.timedelta(hours=6)}
    found = find_stale(uses, {OVERVIEW: published}, due, NOON, ZoneInfo("UTC"))
    assert [problem.mart for problem in found] == [OVERVIEW] * stale
    early = find_stale(uses, {OVERVIEW: published}, due, NOON - dt.timedelta(hours=7), ZoneInfo("UTC"))
    assert early == [], "at 05:00 the day before is not due yet"


def test_a_column_that_is_gone_is_one_alert_that_ends_when_it_is_back(
    marts: dict[str, set[str]],
    rows: Rows,
    recorded: dg.DagsterInstance,
    tmp_path: Path,
    configure: Callable[..., Settings],
) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bi")
    configured = configure(project=tmp_path)
    known = facts(set(marts))

    def find(known: AssetFacts = known) -> int:
        with outbox() as connection:
            return record_broken_dashboards(connection, configured, known, dt.datetime.now(dt.UTC))

    assert find() == 0
    alter(f"alter table marts.{OVERVIEW} drop column gmi_7d_pct")
    assert [find(), find()] == [1, 0]
    (alert,) = rows("select * from alerts")
    assert (alert["kind"], alert["severity"], alert["resolved_at"]) == ("dashboard_broken", "error", None)
    assert alert["title"] == "charts of Glucose cannot be shown"
    assert "has no column gmi_7d_pct" in alert["reason"]
    alter(f"alter table marts.{OVERVIEW} add column gmi_7d_pct int")
    assert find() == 0
    assert rows("select resolution from alerts") == [{"resolution": "All that the charts read is there."}]

    alter(f"drop table marts.{READINGS}")
    assert find() == 0, "a mart that was never published is not missing yet"
    recorded.report_runless_asset_event(dg.AssetMaterialization(["marts", READINGS]))
    assert find() == 1
    assert find(facts(set(marts) - {OVERVIEW})) == 1, "no model publishes it any more"
    assert {
        json.dumps(row["assets"]) for row in rows("select assets from alerts where resolved_at is null")
    } == {
        f'["marts/{OVERVIEW}"]',
        f'["marts/{READINGS}"]',
    }
