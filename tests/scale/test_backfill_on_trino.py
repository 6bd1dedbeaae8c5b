"""Ninety-two days on the profile scale: one run, one commit a table, no more statements than for a day."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import dagster as dg
import pytest
from installation import Installation, installed
from servers.stack import Stack

from millpond.lake import housekeeping, read, refs, trino
from millpond.partitions import latest_complete_day
from millpond.runtime.databases import databases
from millpond.settings import settings

DAILY = (
    "bronze.stg_glucose_entries",
    "silver.fct_glucose_readings",
    "gold.fct_daily_glucose_metrics",
    "gold.fct_daily_glucose_quality",
    "gold.mrt_glucose_readings",
)
WHOLE = ("gold.mrt_glucose_overview", "gold.mrt_glucose_hourly_patterns", "gold.dim_date")
DAYS = 92
LAST = latest_complete_day(settings().zone)


@pytest.fixture(scope="module")
def backfilled(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with 92 days of glucose, made by one backfill."""
    with installed(servers, tmp_path_factory.mktemp("home")) as found:
        days = ("--start-date", str(LAST - dt.timedelta(days=DAYS - 1)), "--end-date", str(LAST))
        done = found.run("backfill", "dlt_glucose_entries*", *days, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        yield found


def test_one_run_makes_all_days(backfilled: Installation) -> None:
    with databases().dagster.connect() as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (1,)
        days = connection.execute(
            "select count(distinct partition) from event_logs where dagster_event_type ="
            " 'ASSET_MATERIALIZATION' and asset_key = %s",
            (dg.AssetKey("fct_glucose_readings").to_string(),),
        ).fetchone()
    assert days == (DAYS,)


def test_each_table_got_one_snapshot_with_its_window_and_its_run(backfilled: Installation) -> None:
    for table in (*DAILY, *WHOLE):
        (snapshot,) = read.load_table("main", table).metadata.snapshots
        told = snapshot.summary.additional_properties if snapshot.summary else {}
        assert told["millpond.run_id"], table
        assert (told["millpond.window"] == "all") == (table in WHOLE), table
        assert read.count("main", table) > 0


def test_no_branch_and_no_catalog_of_one_is_left(backfilled: Installation) -> None:
    assert [ref.name for ref in refs.list_refs()] == ["main"]
    assert [name for (name,) in trino._run_statement("show catalogs") if name.startswith("lake_")] == []


def test_the_marts_hold_what_the_lake_holds(backfilled: Installation) -> None:
    rows = {}
    for table in ("gold.mrt_glucose_overview", "marts.mrt_glucose_overview"):
        answer = backfilled.run("sql", "--csv", f"select count(*) as n from {table}")
        assert answer.returncode == 0, answer.stderr
        rows[table] = answer.stdout.split()[1]
    assert rows["gold.mrt_glucose_overview"] == rows["marts.mrt_glucose_overview"] == str(min(DAYS, 90))


def test_a_day_takes_as_many_statements_as_92(backfilled: Installation) -> None:
    of_range = _per_model(backfilled.statements("__result"))
    before = {table: read.load_table("main", table).metadata.current_snapshot_id for table in DAILY}
    done = backfilled.run("materialize", "stg_glucose_entries*", "--partition", str(LAST))
    assert done.returncode == 0, done.stdout + done.stderr
    both = _per_model(backfilled.statements("__result"))
    of_day = {model: both[model] - of_range[model] for model in of_range if model != "dim_date"}
    assert of_day == {model: count for model, count in of_range.items() if model != "dim_date"}
    # The same rows again move no table.
    assert before == {table: read.load_table("main", table).metadata.current_snapshot_id for table in DAILY}


def test_a_sweep_keeps_the_files_that_tables_took_over(
    backfilled: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "YOUNGEST", dt.timedelta(0))
    swept = [orphan.location for orphan in housekeeping.remove_orphans(dt.timedelta(0))]
    assert any("__result" in location and "/metadata/" in location for location in swept)
    for table in (*DAILY, *WHOLE):
        tasks = list(read.load_table("main", table).scan().plan_files())
        assert any("__result" in task.file.file_path for task in tasks), table
        assert trino.run_query(f"select count(*) from {table}")[1] == [[read.count("main", table)]]
        assert read.scan("main", table).num_rows


def _per_model(statements: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for sql in statements:
        for model in set(re.findall(r'"(\w+)__result"', sql)):
            found[model] = found.get(model, 0) + 1
    return found
