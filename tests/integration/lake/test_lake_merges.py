"""Merges: both sides' days come together, the same days are a conflict, and a conflict changes nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lake_readings import DAY, days, found, rows, spec, write
from millpond.errors import LakeError, MergeConflict, RefNotFound
from millpond.lake import commit, read, refs
from millpond.lake.catalog import load_catalog
from millpond.lake.connect import connect
from millpond.lake.tables import Replacement, replace

pytestmark = pytest.mark.usefixtures("home")


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


def test_main_is_neither_merged_nor_dropped() -> None:
    for act in (refs.drop, refs.merge, refs.diff):
        with pytest.raises(LakeError, match="main is not a branch"):
            act("main")


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
