"""Dagster's own commands work with two variables, and with Dagster's home in the home or in the checkout."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from millpond.instance.home import CODE_LOCATION, dagster_home, open_instance
from millpond.lake import read
from millpond.partitions import Window
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import process_environment, settings

FIRST, LAST = dt.date(2026, 10, 5), dt.date(2026, 10, 7)
pytestmark = pytest.mark.timeout(240)


def dagster(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dagster asset materialize` with nothing but DAGSTER_HOME and DAGSTER_MODULE_NAME added."""
    return subprocess.run(
        [Path(sys.executable).parent / "dagster", "asset", "materialize", *arguments],
        env=process_environment(DAGSTER_HOME=str(where), DAGSTER_MODULE_NAME=CODE_LOCATION),
        cwd=settings().project,
        capture_output=True,
        text=True,
    )


def materialized(asset: str | list[str]) -> set[str | None]:
    with open_instance() as recorded:
        records = recorded.fetch_materializations(dg.AssetKey(asset), limit=100).records
        return {record.partition_key for record in records}


def test_an_asset_for_one_day(home: Home) -> None:
    done = dagster(dagster_home(settings()), "--select", "dlt_climate_entries", "--partition", str(FIRST))
    assert done.returncode == 0, done.stderr[-4000:]
    assert materialized("dlt_climate_entries") == {str(FIRST)}
    assert read.count("main", "raw.climate_entries", window=Window.of_day(FIRST)) > 0


@pytest.mark.slow
def test_everything_downstream_of_a_source_for_one_day(home: Home) -> None:
    done = dagster(dagster_home(settings()), "--select", "dlt_climate_entries*", "--partition", str(FIRST))
    assert done.returncode == 0, done.stderr[-4000:]
    for asset in ("dlt_climate_entries", "stg_climate_entries", "fct_climate_readings"):
        assert materialized(asset) == {str(FIRST)}
    assert materialized(["marts", "mrt_climate_overview"]) == {None}
    readings = read.count("main", "silver.fct_climate_readings", window=Window.of_day(FIRST))
    with databases().marts_readonly.connect() as connection:
        found = connection.execute("SELECT reading_date, reading_count FROM marts.mrt_climate_overview")
        assert found.fetchall() == [(FIRST, readings)]


@pytest.mark.slow
def test_a_range_of_two_layers_with_the_checkout_as_dagsters_home(home: Home) -> None:
    before = sorted(settings().project.iterdir())
    done = dagster(
        settings().project,
        "--select",
        "dlt_climate_entries,stg_climate_entries",
        "--partition-range",
        f"{FIRST}...{LAST}",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    days = {str(day) for day in Window.of_days(FIRST, LAST).days}
    assert materialized("dlt_climate_entries") == materialized("stg_climate_entries") == days
    assert sorted(settings().project.iterdir()) == before, "nothing is written beside the checkout's files"


@pytest.mark.slow
def test_a_partition_key_that_is_none_is_refused_and_leaves_nothing(home: Home) -> None:
    done = dagster(
        dagster_home(settings()), "--select", "dlt_climate_entries", "--partition", "2026-01-01' OR 1=1--"
    )
    assert done.returncode != 0
    assert "2026-01-01' OR 1=1--" in done.stderr + done.stdout
    with open_instance() as recorded:
        assert not [r for r in recorded.get_runs() if r.status == dg.DagsterRunStatus.SUCCESS]
    assert read.list_tables("main") == []
