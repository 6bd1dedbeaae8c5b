"""The nightly chores, as the job that does them."""

import os
from pathlib import Path

import dagster as dg

from lake_readings import found, write
from millpond.automation.jobs import housekeeping
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.lake.connect import borrow_connection
from millpond.runtime.home import Home, layout
from millpond.settings import settings


def old_audit_branch() -> None:
    refs.create("audit_old", purpose="audit of model", run_id="r")
    refs.keep("audit_old", "a check failed")
    refs.create("mine", purpose="a person's")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days'")


def run(**config: object) -> dg.ExecuteInProcessResult:
    ops = {"drop_old_branches": {"config": config}}
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


def test_files_that_nothing_leads_to_go_at_night(home: Home) -> None:
    left = orphan()
    assert run().success
    assert not left.exists()
    assert found() == {0: [1]}
