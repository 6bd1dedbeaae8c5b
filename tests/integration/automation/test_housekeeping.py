"""The nightly chores, as the job that does them."""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from lake_readings import found, write
from millpond.automation.jobs import housekeeping
from millpond.automation.schedules import build_nightly as nightly
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.lake.connect import borrow_connection
from millpond.runtime.home import Home, layout
from millpond.settings import Settings, settings


def old_audit_branch() -> None:
    refs.create("audit_old", purpose="audit of model", run_id="r")
    refs.keep("audit_old", "a check failed")
    refs.create("mine", purpose="a person's")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days'")


def run(*, weekend: bool = False, **config: object) -> dg.ExecuteInProcessResult:
    ops = {"drop_old_branches": {"config": config}, "night": {"config": {"weekend": weekend}}}
    with open_instance() as recorded:
        return housekeeping.execute_in_process(instance=recorded, run_config={"ops": ops})


def orphan() -> Path:
    """Leave a file of last month in a table's folder as a killed writer would."""
    write({0: [1]})
    (folder,) = layout(settings()).warehouse.glob("raw/readings-*")
    file = folder / "data" / "left.parquet"
    file.write_bytes(b"PAR1")
    os.utime(file, (0, 0))
    return file


def test_old_audit_branches_go_and_those_of_people_stay(home: Home) -> None:
    old_audit_branch()
    result = run()
    assert result.success
    assert result.output_for_node("drop_old_branches") == ["audit_old"]
    assert result.output_for_node("close_dead_runs") == []
    assert [ref.name for ref in refs.list_refs()] == ["main", "mine"]


def test_a_dry_run_drops_nothing(home: Home) -> None:
    old_audit_branch()
    assert run(dry_run=True).output_for_node("drop_old_branches") == ["audit_old"]
    assert "audit_old" in [ref.name for ref in refs.list_refs()]


def test_files_that_nothing_leads_to_go_at_weekends_only(home: Home) -> None:
    left = orphan()
    skipped = run().events_for_node("remove_orphan_files")
    assert [event.event_type for event in skipped] == [dg.DagsterEventType.STEP_SKIPPED]
    assert left.exists()
    assert run(weekend=True).success
    assert not left.exists()
    assert found() == {0: [1]}


@pytest.mark.parametrize(("day", "weekend"), [(20, False), (21, True), (22, True), (23, False)])
def test_the_schedule_tells_the_nights_of_the_weekend_by_the_configured_zone(
    home: Home, configure: Callable[..., Settings], day: int, weekend: bool
) -> None:
    configured = configure(timezone="Pacific/Auckland")
    moment = dt.datetime(2026, 11, day, 3, 30, tzinfo=configured.zone)
    request = nightly(configured)(dg.build_schedule_context(scheduled_execution_time=moment))
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["night"]["config"] == {"weekend": weekend}
