"""The checks of raw tables in real runs: what they say of good days, and what bad ones stop."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from fake_source import Entries, FakeSource, reading
from millpond.cli.progress import run_with_progress
from millpond.ingestion.assets import build_assets
from millpond.ingestion.columns import NoValue
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read, refs
from millpond.lake.tables import Replacement, replace
from millpond.partitions import Window, latest_complete_day
from millpond.quality.checks import build_checks
from millpond.quality.table_checks import LATEST, RECONCILIATION, TableChecks
from millpond.runs.progress import Progress, RunOutcome
from millpond.runs.run import JOB, materialize
from millpond.settings import settings
from source_tables import table_of

FIRST = dt.date(2026, 10, 1)
TEN_DAYS = Window.of_days(FIRST, FIRST + dt.timedelta(days=9))
DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
_SPECS = [dg.AssetSpec("staged", deps=["dlt_climate_entries"]), dg.AssetSpec("daily", deps=["staged"])]


@dg.multi_asset(
    specs=_SPECS, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), can_subset=True
)
def downstream(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
    for key in sorted(context.selected_asset_keys, reverse=True):  # parents first
        yield dg.MaterializeResult(key)


@dg.asset(deps=["daily"])
def mart() -> None:
    """Stand at the end."""


def definitions(loaded: SourceSpec | None = None, checked_by: SourceSpec | None = None) -> dg.Definitions:
    """Return definitions that load by `loaded` and check by `checked_by`; default: the shipped contract."""
    source, _ = table_of("climate_entries")
    return dg.Definitions(
        assets=[*build_assets([loaded or source]), downstream, mart],
        asset_checks=build_checks([checked_by or source]),
        jobs=[dg.define_asset_job(JOB, selection="*")],
        executor=dg.in_process_executor,
    )


def checked(outcome: RunOutcome) -> dict[str | None, Progress]:
    return {check.check: check for check in outcome.checks}


def evaluation(recorded: dg.DagsterInstance, check: str) -> dg.AssetCheckEvaluation:
    """Return the last result of a check with its metadata."""
    key = dg.AssetCheckKey(dg.AssetKey("dlt_climate_entries"), check)
    (record,) = recorded.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.asset_check_evaluation_data
    assert isinstance(found, dg.AssetCheckEvaluation)
    return found


def readings(window: Window, per_day: int) -> list[dict[str, Any]]:
    return [reading(n, day) for day in window.days for n in range(per_day)]


def test_good_days_pass_every_check_in_one_step_and_what_is_downstream_is_made(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    rows = readings(TEN_DAYS, 20)
    server.serve = Entries(
        [*rows, reading(3, FIRST), reading(400, FIRST, lux=None, date=rows[0]["date"] + 1)]
    )
    outcome = materialize("*", TEN_DAYS, definitions=definitions(), instance=recorded)
    assert outcome.success, outcome.failures
    found = checked(outcome)
    assert all(check.passed for check in found.values())
    assert found.keys() == {
        "reconciliation",
        "no_null__id",
        "no_null_lux",
        "no_null_date",
        "volume",
        "latest_partition",
        "coverage",
    }
    numbers = {name: value.value for name, value in evaluation(recorded, RECONCILIATION).metadata.items()}
    assert numbers["days_checked"] == 10
    assert numbers["rows_in_source"] == 202
    assert numbers["rows_loaded"] == numbers["rows_in_raw"] == 200
    assert numbers["rows_quarantined"] == numbers["rows_in_quarantine"] == 1
    assert numbers["duplicates_dropped"] == 1
    steps = {s.step_key for s in recorded.get_run_step_stats(outcome.run_id)}
    assert steps == {"dlt_climate_entries", "checks_climate_entries", "downstream", "mart"}


def test_values_that_a_load_turned_into_null_are_shown_by_the_run_and_are_no_missing_values(
    server: FakeSource, recorded: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = [reading(n, FIRST, lux=0) for n in range(5)]
    changed += [reading(5, FIRST, direction="Sideways"), reading(6, FIRST, lux="LOW")]
    server.serve = Entries(changed + [reading(n, FIRST) for n in range(7, 60)])
    source, table = table_of("climate_entries")
    codes = table.columns | {"lux": table.columns["lux"].model_copy(update={"no_value": NoValue(below=20)})}
    loaded = source.model_copy(update={"tables": (table.model_copy(update={"columns": codes}),)})
    outcome = run_with_progress("*", Window.of_day(FIRST), definitions=definitions(loaded, checked_by=loaded))
    assert outcome.success, outcome.failures
    assert "1 quarantined, 1 invalid values became null" in capsys.readouterr().out
    metadata = evaluation(recorded, "no_null_lux").metadata
    assert (metadata["nulls"].value, metadata["nulls_allowed"].value) == (5, 5)


def test_a_failed_blocking_check_stops_everything_downstream_in_the_same_run(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    server.serve = Entries([reading(n, FIRST, lux=None if n < 25 else 100) for n in range(60)])
    source, table = table_of("climate_entries")
    lax = table.columns | {"lux": table.columns["lux"].model_copy(update={"required_when": None})}
    loaded = source.model_copy(update={"tables": (table.model_copy(update={"columns": lax}),)})
    outcome = materialize("*", Window.of_day(FIRST), definitions=definitions(loaded), instance=recorded)
    assert not outcome.success
    assert [asset.asset for asset in outcome.assets] == ["dlt_climate_entries"]
    assert set(outcome.missing) == {"staged", "daily", "mart"}
    found = checked(outcome)["no_null_lux"]
    assert (found.passed, found.warning) == (False, False)
    assert found.message == "lux is null in 25 of 60 rows where type = 'lux'"
    metadata = evaluation(recorded, "no_null_lux").metadata
    assert metadata["nulls"].value == 25
    samples = metadata["samples"]
    assert isinstance(samples, dg.TableMetadataValue)
    assert len(samples.records) == 20
    assert samples.records[0].data["_partition_date"] == str(FIRST)
    assert "no_null_lux" in outcome.failures[0].message
    assert outcome.failures[0].assets == ("checks_climate_entries",)


def test_a_row_that_vanished_from_the_lake_breaks_reconciliation(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    server.serve = Entries(readings(TEN_DAYS, 12))
    assert materialize("dlt_climate_entries", TEN_DAYS, definitions=definitions(), instance=recorded).success
    _, table = table_of("climate_entries")
    raw, _ = lake_tables(table)
    day = Window.of_day(TEN_DAYS.last)
    rest = read.scan("main", raw.name, window=day)
    replace([Replacement(raw, rest.slice(1), day)], ref="main", run_id="vandal")
    found = TableChecks(recorded, table, "main", TEN_DAYS).run(RECONCILIATION)
    assert not found.passed
    assert [(sample["partition"], sample["rows_in_raw"]) for sample in found.samples] == [(TEN_DAYS.last, 11)]
    assert pc.sum(rest["lux"]).as_py() > 0


def test_the_newest_load_of_a_day_is_what_counts(server: FakeSource, recorded: dg.DagsterInstance) -> None:
    _, table = table_of("climate_entries")
    for rows in (12, 15, 9):
        server.serve = Entries(readings(Window.of_day(FIRST), rows))
        outcome = materialize(
            "dlt_climate_entries", Window.of_day(FIRST), definitions=definitions(), instance=recorded
        )
        assert outcome.success
        found = TableChecks(recorded, table, "main", Window.of_day(FIRST)).run(RECONCILIATION)
        assert found.numbers["rows_in_raw"] == rows


def test_an_unusual_volume_warns_and_stops_nothing(server: FakeSource, recorded: dg.DagsterInstance) -> None:
    server.serve = Entries([*readings(TEN_DAYS, 20)[:-11]])
    outcome = materialize("*", TEN_DAYS, definitions=definitions(), instance=recorded)
    assert outcome.success
    found = checked(outcome)["volume"]
    assert (found.passed, found.warning) == (False, True)
    assert found.message == (
        "1 of 3 days is outside 0.5 to 1.5 times the median of the 28 days before;"
        " last 2026-10-10: 9 rows, median 20"
    )


@pytest.mark.usefixtures("clock")
def test_the_latest_complete_day_satisfies_the_check_of_the_latest_partition(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    newest = latest_complete_day(settings().zone)
    window = Window.of_days(newest - dt.timedelta(days=1), newest)
    server.serve = Entries(readings(window, 5))
    outcome = materialize("dlt_climate_entries", window, definitions=definitions(), instance=recorded)
    assert checked(outcome)[LATEST].passed


@pytest.mark.usefixtures("clock")
def test_a_missing_latest_day_is_told_on_main_unless_the_run_was_for_older_days(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    server.serve = Entries(readings(TEN_DAYS, 1))
    outcome = materialize("dlt_climate_entries", TEN_DAYS, definitions=definitions(), instance=recorded)
    assert checked(outcome)[LATEST].message == f"skipped: the run was for days up to {TEN_DAYS.last}"
    _, table = table_of("climate_entries")
    newest = Window.of_day(latest_complete_day(settings().zone))
    found = TableChecks(recorded, table, "main", newest).run(LATEST)
    assert not found.passed
    assert f"the newest is {TEN_DAYS.last}" in found.summary


def test_checks_of_a_run_on_a_branch_judge_the_branch_and_leave_the_record_of_main(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    server.serve = Entries(readings(TEN_DAYS, 12))
    assert materialize("dlt_climate_entries", TEN_DAYS, definitions=definitions(), instance=recorded).success
    before = evaluation(recorded, RECONCILIATION)
    refs.create("dev")
    bad = [reading(n, FIRST, lux=None if n < 2 else 100) for n in range(20)]
    server.serve = Entries(bad)
    source, table = table_of("climate_entries")
    lax = table.columns | {"lux": table.columns["lux"].model_copy(update={"required_when": None})}
    loaded = source.model_copy(update={"tables": (table.model_copy(update={"columns": lax}),)})
    day = Window.of_day(FIRST)
    outcome = materialize(
        "dlt_climate_entries", day, definitions=definitions(loaded), instance=recorded, ref="dev"
    )
    found = checked(outcome)
    assert found["no_null_lux"].message == "lux is null in 2 of 20 rows where type = 'lux'"
    assert found[RECONCILIATION].message == "20 rows of the source are accounted for on 1 day"
    assert found[LATEST].message == "skipped: dev is a branch; only main is kept up to date"
    assert evaluation(recorded, RECONCILIATION) == before
    assert TableChecks(recorded, table, "main", day).run("no_null_lux").passed


@pytest.mark.parametrize("days", [1, 10])
def test_checks_of_a_table_that_was_never_loaded_find_nothing_wrong(
    server: FakeSource, recorded: dg.DagsterInstance, days: int
) -> None:
    _, table = table_of("climate_entries")
    checks = TableChecks(recorded, table, "main", Window(FIRST, FIRST + dt.timedelta(days=days)))
    assert checks.run(RECONCILIATION).numbers["days_not_loaded"] == days
    assert checks.run("no_null_lux").passed
