"""What old runs said goes, and nothing that Dagster or a plan knows of an asset changes by it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from daily_assets import DAYS, WEEK, broken

from millpond.backfill.planner import make_plan
from millpond.instance.event_retention import prune_compute_logs, prune_events
from millpond.instance.record import read_latest
from millpond.partitions import Window
from millpond.runs.run import materialize
from millpond.runtime.databases import databases

MONTH = dt.timedelta(days=30)
ASSETS = ("dlt_days", "dlt_other", "silver")


def age(days: float) -> None:
    """Make every event and run look as if it were so old."""
    with databases().dagster.connect() as connection:
        connection.execute("update event_logs set timestamp = timestamp - %s", (dt.timedelta(days=days),))


def count_events() -> dict[str | None, int]:
    with databases().dagster.connect() as connection:
        counted = "select dagster_event_type, count(*) from event_logs group by 1"
        return dict(connection.execute(counted).fetchall())


def known(recorded: dg.DagsterInstance, definitions: dg.Definitions) -> list[Any]:
    """Return what Dagster's pages, plans and checks know of the assets."""
    found: list[Any] = [read_latest(recorded, ASSETS, "main")]
    for asset in ASSETS:
        key = dg.AssetKey(asset)
        recorded.event_log_storage.wipe_asset_cached_status(key)
        value = get_and_update_asset_status_cache_value(recorded, key, DAYS)
        assert value is not None
        found.append(value.deserialize_materialized_partition_subsets(DAYS).get_partition_keys())
        found.append(value.deserialize_failed_partition_subsets(DAYS).get_partition_keys())
    plan = make_plan("*", WEEK.days, instance=recorded, definitions=definitions, ref="main")
    found.append(list(plan.items))
    check = dg.AssetCheckKey(dg.AssetKey(["marts", "mrt_days"]), "equals_lake")
    (execution,) = recorded.event_log_storage.get_asset_check_execution_history(check, limit=1)
    return [*found, execution.status]


def fail() -> None:
    raise dg.Failure("no answer", metadata={"rows": 1})


def test_status_staleness_and_checks_are_the_same_after_pruning(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    assert materialize("*", WEEK, definitions=definitions, instance=recorded).success
    broken["silver"] = fail
    assert not materialize("*", Window.of_day(WEEK.last), definitions=definitions, instance=recorded).success
    age(31)
    broken.clear()
    first = Window.of_day(WEEK.start)
    assert materialize("dlt_days", first, definitions=definitions, instance=recorded).success
    before, counts = known(recorded, definitions), count_events()
    young = counts["STEP_SUCCESS"]
    planned = prune_events(recorded, MONTH, dry_run=True)
    assert count_events() == counts
    assert prune_events(recorded, MONTH) == planned > 0
    assert known(recorded, definitions) == before
    after = count_events()
    assert sum(after.values()) < 0.6 * sum(counts.values())
    for kind in ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "STEP_FAILURE", "PIPELINE_FAILURE"):
        assert after[kind] == counts[kind]
    assert 0 < after["STEP_SUCCESS"] < young
    assert prune_events(recorded, MONTH) == 0
    assert materialize("*", WEEK, definitions=definitions, instance=recorded).success


def test_a_run_that_has_not_ended_keeps_its_events(recorded: dg.DagsterInstance) -> None:
    kept: list[bool] = []

    @dg.asset
    def long() -> None:
        age(31)
        before = count_events()
        prune_events(recorded, MONTH)
        after = count_events()
        kept.append(all(after[kind] >= number for kind, number in before.items()))

    assert dg.materialize([long], instance=recorded).success
    assert kept == [True]


@pytest.mark.parametrize(("days", "gone"), [(31, True), (29, False)])
def test_the_output_of_old_runs_goes_and_what_else_is_stored_stays(
    tmp_path: Path, days: int, gone: bool
) -> None:
    run = "9cfed367-2a05-4f31-8f9f-bcb674995073"
    logs, stored = tmp_path / run / "compute_logs", tmp_path / "some_asset" / "compute_logs"
    for folder in (logs, stored):
        folder.mkdir(parents=True)
        (folder / "step.out").write_text("x")
    then = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).timestamp()
    for folder in (logs, stored):
        os.utime(folder, (then, then))
    assert prune_compute_logs(tmp_path, MONTH, dry_run=True) == int(gone)
    assert logs.exists()
    assert prune_compute_logs(tmp_path, MONTH) == int(gone)
    assert (logs.exists(), stored.exists()) == (not gone, True)
