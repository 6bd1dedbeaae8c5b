"""Branches copy pointers; a merge moves all of them at once, or tells why it cannot."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lake_readings import DAY, days, found, rows, spec, write
from millpond.errors import ConfigError, LakeError, MergeConflict, RefExists, RefNotFound
from millpond.lake import commit, read, refs
from millpond.lake.catalog import load_catalog
from millpond.lake.connect import borrow_connection, connect
from millpond.lake.tables import Replacement, replace

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


def test_a_merge_moves_all_tables_and_drops_the_branch() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    write({0: [3]}, table=spec("silver.readings"), ref="dev")
    merged = refs.merge("dev")
    assert merged.tables == ("raw.readings", "silver.readings")
    assert merged.rebased == ()
    assert (found(), found("silver.readings")) == ({0: [2]}, {0: [3]})
    with pytest.raises(RefNotFound):
        read.list_tables("dev")


def test_a_branch_that_is_kept_can_be_merged_again() -> None:
    write({0: [1]})
    refs.create("dev")
    for value in (2, 3):
        write({0: [value]}, ref="dev")
        refs.merge("dev", drop=False)
        assert found() == {0: [value]}
    assert refs.diff("dev") == []
    assert refs.merge("dev").tables == ()


def test_days_that_only_one_side_changed_are_brought_together() -> None:
    write({n: [n] for n in range(4)})
    refs.create("dev")
    write({1: [10], 2: []}, days(1, 2), ref="dev")
    write({0: [100]})
    write({3: [300]})
    assert refs.merge("dev").rebased == ("raw.readings",)
    assert found() == {0: [100], 1: [10], 3: [300]}


def test_a_rebased_commit_tells_which_days_it_replaced() -> None:
    write({n: [n] for n in range(3)})
    refs.create("dev")
    write({0: [10]}, ref="dev", run="run-a")
    write({2: [20]}, ref="dev", run="run-b")
    write({1: [100]})
    refs.merge("dev")
    snapshot = read.load_table("main", "raw.readings").current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["millpond.window"] == "2026-10-30,2026-11-01"
    assert snapshot.summary["millpond.run_id"] == "run-b"


def test_a_table_created_on_both_sides_is_brought_together() -> None:
    refs.create("dev")
    write({0: [1]}, ref="dev")
    write({1: [2]})
    refs.merge("dev")
    assert found() == {0: [1], 1: [2]}


def test_columns_added_on_both_sides_are_all_there() -> None:
    write({0: [1], 1: [2]})
    refs.create("dev")
    for ref, n, name in (("dev", 0, "a"), ("main", 1, "b")):
        data = rows({n: [5]}).append_column(name, pa.array(["x"]))
        replace([Replacement(spec(), data, days(n, n))], ref=ref, run_id="run")
    refs.merge("dev")
    merged = read.scan("main", "raw.readings").sort_by(DAY).select(["value", "a", "b"]).to_pylist()
    assert merged == [{"value": 5, "a": "x", "b": None}, {"value": 5, "a": None, "b": "x"}]


@pytest.mark.parametrize("theirs", [days(1, 1), days(0, 5), None], ids=["a day", "more days", "all"])
def test_the_same_days_changed_on_both_sides_are_a_conflict(theirs: Any) -> None:
    write({n: [n] for n in range(3)})
    refs.create("dev")
    write({0: [10], 1: [11]}, ref="dev")
    replace([Replacement(spec(), rows({1: [100]}), theirs)], ref="main", run_id="run")
    before = found()
    with pytest.raises(MergeConflict, match=r"raw\.readings: .* changed on both sides"):
        refs.merge("dev")
    assert found() == before
    assert found(ref="dev") == {0: [10], 1: [11], 2: [2]}


def test_a_conflict_names_every_table_and_its_days() -> None:
    tables = [spec("raw.readings"), spec("raw.others"), spec("raw.fine")]
    for table in tables:
        write({n: [n] for n in range(4)}, table=table)
    refs.create("dev")
    write({1: [10], 2: [20]}, ref="dev")
    write({3: [30]}, table=tables[1], ref="dev")
    write({0: [0, 1]}, table=tables[2], ref="dev")
    write({n: [100] for n in range(1, 4)})
    write({3: [100]}, table=tables[1])
    write({1: [100]}, table=tables[2])
    with pytest.raises(MergeConflict, match="branch dev cannot be merged into main") as caught:
        refs.merge("dev")
    assert caught.value.tables == {
        "raw.readings": "the days 2026-10-31...2026-11-01 changed on both sides",
        "raw.others": "the days 2026-11-02 changed on both sides",
    }
    assert all(
        name in str(caught.value) for name in ("raw.readings", "2026-11-02", "millpond branch drop dev")
    )


def test_one_conflict_keeps_all_tables_back() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    write({0: [2]}, table=spec("silver.readings"), ref="dev")
    write({0: [3]})
    with pytest.raises(MergeConflict):
        refs.merge("dev")
    assert read.list_tables("main") == ["raw.readings"]


def test_without_rebase_any_move_of_the_base_is_a_conflict() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    write({1: [3]})
    with pytest.raises(MergeConflict, match=r"raw\.readings: changed on both sides"):
        refs.merge("dev", rebase=False)


def test_types_that_do_not_go_together_are_a_conflict() -> None:
    write({0: [1], 1: [2]})
    refs.create("dev")
    for ref, n, new in (("dev", 0, pa.array(["x"])), ("main", 1, pa.array([1]))):
        data = rows({n: [5]}).append_column("new", new)
        replace([Replacement(spec(), data, days(n, n))], ref=ref, run_id="run")
    with pytest.raises(MergeConflict, match=r"raw\.readings\.new is int64 in the table and string"):
        refs.merge("dev")


def test_a_table_dropped_on_one_side_and_changed_on_the_other_is_a_conflict() -> None:
    write({0: [1]})
    refs.create("dev")
    load_catalog("dev").drop_table("raw.readings")
    write({0: [2]})
    with pytest.raises(MergeConflict, match="dropped on one side"):
        refs.merge("dev")


def test_a_table_dropped_on_a_branch_is_gone_after_the_merge() -> None:
    write({0: [1]})
    refs.create("dev")
    load_catalog("dev").drop_table("raw.readings")
    assert [d.change for d in refs.diff("dev")] == ["dropped"]
    refs.merge("dev")
    assert read.list_tables("main") == []


def test_a_branch_of_a_branch_merges_into_that() -> None:
    write({0: [1]})
    refs.create("dev")
    refs.create("audit", base="dev")
    write({0: [2]}, ref="audit")
    assert refs.merge("audit").into == "dev"
    assert (found(), found(ref="dev")) == ({0: [1]}, {0: [2]})
    refs.merge("dev")
    assert found() == {0: [2]}


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


def test_main_is_neither_merged_nor_dropped() -> None:
    for act in (refs.drop, refs.merge, refs.diff):
        with pytest.raises(LakeError, match="main is not a branch"):
            act("main")


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


def test_a_write_to_a_branch_that_is_merged_meanwhile_is_not_half_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({0: [1]})
    refs.create("dev")
    original = commit.move_pointers

    def merged_first(*args: Any) -> None:
        monkeypatch.undo()
        refs.merge("dev")
        original(*args)

    monkeypatch.setattr(commit, "move_pointers", merged_first)
    with pytest.raises(RefNotFound):
        write({0: [2]}, table=spec("silver.readings"), ref="dev")
    with connect() as conn:
        assert conn.execute("select count(*) from iceberg_tables where catalog_name = 'dev'").fetchone() == (
            0,
        )
    assert read.list_tables("main") == ["raw.readings"]


def test_an_empty_table_created_on_both_sides_is_no_conflict() -> None:
    refs.create("dev")
    write({}, days(0, 0), ref="dev")
    write({0: [1]})
    assert refs.merge("dev").rebased == ("raw.readings",)
    assert found() == {0: [1]}


@pytest.mark.parametrize("branchs_first", [True, False], ids=["empty on the branch", "empty on main"])
def test_a_table_without_days_created_empty_on_one_side_has_the_rows_of_the_other(
    branchs_first: bool,
) -> None:
    whole = spec(window_column=None, key=(), grain=None)
    empty, filled = ("dev", "main") if branchs_first else ("main", "dev")
    refs.create("dev")
    for ref, values in ((empty, {}), (filled, {0: [1], 1: [2]})):
        replace([Replacement(whole, rows(values), None)], ref=ref, run_id="run")
    refs.merge("dev")
    assert found() == {0: [1], 1: [2]}
