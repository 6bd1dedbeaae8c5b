"""Audit branches that runs left behind go by age, and nothing else does."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lake_readings import write
from millpond.lake import pins, refs
from millpond.lake.connect import borrow_connection
from millpond.lake.housekeeping import drop_old_branches

pytestmark = pytest.mark.usefixtures("home")

NOW = dt.timedelta(0)


def aged(name: str, days: float, **more: Any) -> None:
    """Create a branch as if so many days ago."""
    kept = more.pop("kept", "")
    refs.create(name, **more)
    if kept:
        refs.keep(name, kept)
    with borrow_connection() as conn:
        conn.execute(
            "update lake_refs set created_at = created_at - %s where name = %s", (dt.timedelta(days), name)
        )


def names() -> set[str]:
    return {ref.name for ref in refs.list_refs()}


def test_kept_audit_branches_go_when_they_are_older_than_the_setting(configure: Any) -> None:
    configure(branch_retention_days=3)
    aged("audit_old", 3.1, run_id="run-1", kept="check has_key failed")
    aged("audit_new", 2.9, run_id="run-2", kept="check has_key failed")
    assert [ref.name for ref in drop_old_branches()] == ["audit_old"]
    assert names() == {"main", "audit_new"}


def test_a_branch_that_a_person_created_never_goes_by_age() -> None:
    aged("dev", 1000, purpose="audit of nothing")
    assert drop_old_branches(NOW) == []
    assert names() == {"main", "dev"}


def test_an_audit_branch_without_a_note_goes_once_its_run_must_be_over() -> None:
    aged("audit_killed", 1.1, run_id="run-1")
    aged("audit_running", 0.9, run_id="run-2")
    assert [ref.name for ref in drop_old_branches(NOW)] == ["audit_killed"]
    assert names() == {"main", "audit_running"}


def test_a_branch_that_others_were_taken_from_stays() -> None:
    aged("audit_1", 30, run_id="run-1", kept="check has_key failed")
    refs.create("look", base="audit_1")
    assert drop_old_branches(NOW) == []
    refs.drop("look")
    assert [ref.name for ref in drop_old_branches(NOW)] == ["audit_1"]


def test_a_dry_run_tells_what_would_go_and_drops_nothing() -> None:
    aged("audit_1", 30, run_id="run-1", kept="check has_key failed")
    pins.pin("main", lifetime=dt.timedelta(0))
    assert [ref.name for ref in drop_old_branches(dry_run=True)] == ["audit_1"]
    assert names() == {"main", "audit_1"}
    assert pinned() == 1


def test_expired_pins_go_and_others_stay() -> None:
    write({0: [1]})
    pins.pin("main", lifetime=dt.timedelta(0))
    pins.pin("main")
    drop_old_branches()
    assert pinned() == 1


def test_a_branch_tells_its_state_and_why_it_was_kept() -> None:
    refs.create("dev")
    refs.create("audit_1", run_id="run-1")
    refs.create("audit_2", run_id="run-2")
    refs.keep("audit_2", "check has_key failed")
    assert {ref.name: (ref.state, ref.kept) for ref in refs.list_refs()} == {
        "main": ("main", ""),
        "dev": ("branch", ""),
        "audit_1": ("audit", ""),
        "audit_2": ("audit kept", "check has_key failed"),
    }


def pinned() -> int:
    with borrow_connection() as conn:
        (found,) = conn.execute("select count(*) from lake_pins").fetchone() or (0,)
    return int(found)
