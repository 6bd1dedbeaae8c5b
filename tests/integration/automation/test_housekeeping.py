"""The nightly chores, as the job that does them."""

import dagster as dg

from millpond.automation.jobs import housekeeping
from millpond.lake import refs
from millpond.lake.connect import pooled
from millpond.resources.instance import instance
from millpond.runtime.home import Home


def old_audit_branch() -> None:
    refs.create("audit_old", purpose="audit of model", run_id="r")
    refs.keep("audit_old", "a check failed")
    refs.create("mine", purpose="a person's")
    with pooled() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days'")


def run(**config: object) -> dg.ExecuteInProcessResult:
    with instance() as recorded:
        return housekeeping.execute_in_process(
            instance=recorded, run_config={"ops": {"drop_old_branches": {"config": config}}}
        )


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
