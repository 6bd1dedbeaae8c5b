"""The nightly chores, as the job that does them and as the command."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from lake_readings import found, write
from millpond.cli.main import app
from millpond.errors import ConfigError, StorageFailed
from millpond.instance.home import open_instance
from millpond.lake import pins, refs
from millpond.lake.connect import borrow_connection
from millpond.maintenance import assets, run
from millpond.maintenance.task import Line, Result, Task
from millpond.maintenance.tasks import TASKS
from millpond.runtime.databases import databases
from millpond.runtime.home import Home, layout
from millpond.settings import settings


def old_audit_branch() -> None:
    refs.create("audit_old", purpose="audit of model", run_id="r")
    refs.keep("audit_old", "a check failed")
    refs.create("mine", purpose="a person's")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days'")


def orphan() -> Path:
    """Leave a file of last month in a table's folder as a killed writer would."""
    write({0: [1]})
    (folder,) = layout(settings()).warehouse.glob("raw/readings-*")
    file = folder / "data" / "left.parquet"
    file.write_bytes(b"PAR1")
    os.utime(file, (0, 0))
    return file


def night(**config: object) -> tuple[dg.ExecuteInProcessResult, dict[str, dict[str, object]]]:
    """Run the job, and return what each of its assets recorded."""
    ops = {task.name: {"config": config} for task in TASKS}
    job = dg.Definitions(assets.build_assets(), jobs=[assets.build_job()]).resolve_job_def(assets.JOB)
    with open_instance() as recorded:
        result = job.execute_in_process(instance=recorded, run_config={"ops": ops})
        last = {task.name: recorded.get_latest_materialization_event(assets.key_of(task)) for task in TASKS}
    return result, {
        name: {key: value.value for key, value in event.asset_materialization.metadata.items()}
        for name, event in last.items()
        if event and event.asset_materialization
    }


def maintain(*arguments: str) -> dict[str, object]:
    said = CliRunner().invoke(app, ["maintain", *arguments, "--json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_the_job_does_every_task_and_records_what_it_freed_where_the_command_only_planned(home: Home) -> None:
    old_audit_branch()
    left = orphan()
    pins.pin("main")
    with databases().catalog.connect() as connection:
        connection.execute("update lake_pins set expires_at = now() - interval '1 hour'")
    with open_instance(), databases().dagster.connect() as connection:
        connection.execute(
            "insert into event_logs (run_id, event, timestamp) values ('x', '', now() - interval '40 days')"
        )
    planned = maintain("--dry-run")
    assert left.exists()
    assert "audit_old" in [ref.name for ref in refs.list_refs()]
    result, recorded = night()
    assert result.success
    assert recorded.keys() == {task.name for task in TASKS}
    assert not left.exists()
    assert [ref.name for ref in refs.list_refs()] == ["main", "mine"]
    assert found() == {0: [1]}
    assert (recorded["remove_orphan_files"]["files"], recorded["remove_orphan_files"]["bytes"]) == (1, 4)
    assert recorded["drop_old_branches"]["lines"] == [
        {"name": "audit_old", "counts": {"branches": 1}, "bytes": 0},
        {"name": "expired", "counts": {"pins": 1}, "bytes": 0},
    ]
    assert recorded["prune_event_log"]["lines"] == [
        {"name": "Dagster", "counts": {"events": 1, "outputs": 0}, "bytes": 0}
    ]
    tasks = {each["name"]: each for each in planned["tasks"]}
    assert planned["bytes"] == 4
    for name, did in recorded.items():
        assert tasks[name]["lines"] == did["lines"], "a plan names what is done then"


def test_a_dry_run_of_the_job_does_nothing(home: Home) -> None:
    old_audit_branch()
    left = orphan()
    _, recorded = night(dry_run=True)
    assert recorded["remove_orphan_files"]["dry_run"] is True
    assert left.exists()
    assert "audit_old" in [ref.name for ref in refs.list_refs()]


def test_a_task_that_fails_keeps_none_of_the_others_from_it() -> None:
    def fail(_: bool) -> Result:
        raise StorageFailed("the disk is full", next_step="free space")

    def work(_: bool) -> Result:
        return Result((Line("a", {"files": 2}, 3), Line("b", {"files": 1}, 4)))

    first, second = run.run_tasks([Task("one", "", fail), Task("two", "", work)], dry_run=False)
    assert first.error is not None
    assert (second.result.counts, second.result.bytes) == ({"files": 3}, 7)


def test_what_a_task_finds_wrong_fails_its_check_and_not_the_run(recorded: dg.DagsterInstance) -> None:
    task = Task("look", "", lambda _: Result(problems=("a differs", *["b"] * 12)), check="equals_record")
    (asset,) = [assets._build_asset(task)]
    result = dg.materialize([asset], instance=recorded)
    (check,) = result.get_asset_check_evaluations()
    assert (result.success, check.passed, check.blocking) == (True, False, False)
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert str(check.description).startswith("a differs\n")
    assert str(check.description).endswith("… and 3 more")


def test_a_name_that_is_no_task_is_refused_with_the_near_one() -> None:
    with pytest.raises(ConfigError) as refused:
        run.choose_tasks(["remove_orphans"])
    assert "remove_orphan_files" in refused.value.next_step
