"""Refs: branches see their own writes alone, have a log, and go in an order that loses nothing."""

from __future__ import annotations

import pytest

from lake_readings import found, spec, write
from millpond.errors import ConfigError, LakeError, RefExists, RefNotFound
from millpond.lake import refs
from millpond.lake.connect import borrow_connection

pytestmark = pytest.mark.usefixtures("home")


def test_what_is_written_to_a_branch_is_seen_there_alone() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    assert found() == {0: [1]}
    assert found(ref="dev") == {0: [2]}


def test_a_branch_does_not_see_what_its_base_becomes() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]})
    assert found(ref="dev") == {0: [1]}


def test_a_ref_that_others_were_taken_from_is_not_dropped() -> None:
    refs.create("dev")
    refs.create("audit", base="dev")
    with pytest.raises(LakeError, match="audit was created from it"):
        refs.drop("dev")
    with pytest.raises(LakeError, match="audit was created from it"):
        refs.merge("dev")


def test_a_failed_audit_goes_with_the_branch_it_was_taken_from() -> None:
    for end in (refs.drop, refs.merge):
        refs.create("dev")
        refs.create("audit_1", base="dev", run_id="run-1")
        refs.keep("audit_1", "check has_key failed")
        end("dev")
        assert [ref.name for ref in refs.list_refs()] == ["main"]


def test_a_name_is_taken_once() -> None:
    refs.create("dev")
    with pytest.raises(RefExists, match="dev"):
        refs.create("dev")
    refs.drop("dev")
    refs.create("dev")


@pytest.mark.parametrize("name", ["Dev", "a b", "main@1", "", "../x", "x" * 61, "a;drop table lake_refs"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        refs.create(name)


def test_refs_that_are_not_there_are_named() -> None:
    for act in (refs.drop, refs.merge, refs.diff, refs.pin):
        with pytest.raises(RefNotFound, match="'gone'"):
            act("gone")
    with pytest.raises(RefNotFound, match="'gone'"):
        refs.create("dev", base="gone")


def test_a_diff_counts_the_rows_of_each_table() -> None:
    write({0: [1, 2], 1: [3]})
    refs.create("dev")
    write({0: [4]}, ref="dev")
    write({0: [1, 2, 3]}, table=spec("silver.readings"), ref="dev")
    changed, created = refs.diff("dev")
    assert (changed.table, changed.change, changed.windows) == ("raw.readings", "changed", "2026-10-30")
    assert (changed.rows_added, changed.rows_removed) == (1, 2)
    assert (created.change, created.rows_added, created.rows_removed) == ("created", 3, 0)


def test_refs_are_listed_with_what_they_changed() -> None:
    write({0: [1]})
    refs.create("dev", purpose="a trial", run_id="run-1")
    write({0: [2]}, ref="dev")
    main, dev = refs.list_refs()
    assert (main.name, main.base, main.tables, main.changed) == ("main", None, 1, 0)
    assert (dev.name, dev.base, dev.purpose, dev.run_id) == ("dev", "main", "a trial", "run-1")
    assert (dev.tables, dev.changed) == (1, 1)


def test_the_log_tells_every_move_in_order() -> None:
    write({0: [1]}, run="run-1")
    refs.create("dev")
    write({0: [2]}, ref="dev", run="run-2")
    refs.merge("dev")
    with borrow_connection() as conn:
        lines = conn.execute("select ref, action, other_ref, run_id from lake_ref_log order by id").fetchall()
    assert lines == [
        ("main", "replace", "", "run-1"),
        ("dev", "create branch", "main", ""),
        ("dev", "replace", "", "run-2"),
        ("main", "merge", "dev", ""),
        ("dev", "drop branch", "", ""),
    ]
