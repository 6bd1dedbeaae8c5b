"""History and undo: a commit is taken back whole, with what changed the same tables since, or not at all."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from lake_readings import days, found, rows, spec, write
from millpond.errors import MergeConflict, RefNotFound, RefRefused, TableNotFound
from millpond.lake import duck, files, history, pins, read, ref_log, refs
from millpond.lake.history import count_rows, find_days, plan_undo, undo
from millpond.lake.ref_log import Commit, list_commits
from millpond.lake.tables import Replacement, replace
from millpond.lake.windows import Windows

pytestmark = pytest.mark.usefixtures("home")
SILVER = spec("silver.readings")


def newest(ref: str = "main") -> Commit:
    return list_commits(ref, limit=1)[0]


def write_both(values: dict[int, list[int]], ref: str = "main", run: str = "run") -> Commit:
    """Replace the days of both tables in one commit."""
    window = days(min(values), max(values))
    tables = [Replacement(table, rows(values, run), window) for table in (spec(), SILVER)]
    replace(tables, ref=ref, run_id=run)
    return newest(ref)


def both(ref: str = "main") -> list[dict[int, list[int]]]:
    return [found("raw.readings", ref), found("silver.readings", ref)]


def test_history_tells_what_each_commit_moved_and_which_run_did_it() -> None:
    write({0: [1]}, run="load")
    refs.create("audit", run_id="build")
    write({0: [1], 1: [2]}, table=SILVER, ref="audit")
    refs.merge("audit")
    merge, load = list_commits("main")
    assert (load.action, load.run_id, load.tables) == ("replace", "load", ["raw.readings"])
    assert (merge.action, merge.run_id, merge.tables) == ("merge", "build", ["silver.readings"])
    assert [count_rows(move) for move in (*load.moves, *merge.moves)] == [(None, 1), (None, 2)]
    assert list_commits("main", table="raw.readings") == [load]
    with pytest.raises(RefNotFound):
        list_commits("nowhere")


def test_an_undone_commit_leaves_every_table_as_before_and_can_be_undone_itself() -> None:
    write_both({0: [1], 1: [1]})
    second = write_both({1: [2], 2: [2]})
    plan = plan_undo("main", second.id)
    assert [(m.table, find_days(m)) for m in plan.moves] == [
        (name, Windows.of(days(1, 2))) for name in ("raw.readings", "silver.readings")
    ]
    undone = undo(plan)
    assert both() == [{0: [1], 1: [1]}] * 2
    assert (undone.action, undone.branch, undone.tables) == ("undo", second.id, second.tables)
    undo(plan_undo("main", undone.id[:8]))
    assert both() == [{0: [1], 1: [2], 2: [2]}] * 2
    write_both({0: [9]})
    assert both() == [{0: [9], 1: [2], 2: [2]}] * 2


def test_a_table_that_a_commit_created_is_gone_after_its_undo_and_comes_back_with_the_next_write() -> None:
    undo(plan_undo("main", write_both({0: [1]}).id))
    assert read.list_tables("main") == []
    with pytest.raises(TableNotFound):
        read.count("main", "raw.readings")
    write_both({1: [2]})
    assert both() == [{1: [2]}] * 2


def test_tables_of_one_commit_never_part_later_commits_are_undone_with_it_as_a_whole() -> None:
    write_both({0: [1]})
    second = write_both({0: [2]})
    write({0: [7]}, table=spec("gold.alone"))
    third = write({0: [3]}, table=SILVER)
    assert third.rows == 1
    with pytest.raises(RefRefused, match="undone alone: its tables were changed again by") as refused:
        plan_undo("main", second.id)
    assert "--with-later" in refused.value.next_step
    assert both() == [{0: [2]}, {0: [3]}]
    plan = plan_undo("main", second.id, with_later=True)
    assert [c.action for c in plan.commits] == ["replace", "replace"]
    undo(plan)
    assert both() == [{0: [1]}] * 2
    assert found("gold.alone") == {0: [7]}


def test_what_a_later_commit_moved_together_goes_back_together() -> None:
    first = write({0: [1]})
    write({0: [1]}, table=SILVER)
    start = list_commits("main", table="raw.readings")[0]
    write_both({0: [2]})
    write({0: [3]}, table=SILVER)
    assert first.rows == 1
    plan = plan_undo("main", start.id, with_later=True)
    assert len(plan.commits) == 3
    undo(plan)
    assert read.list_tables("main") == ["silver.readings"]
    assert found("silver.readings") == {0: [1]}


def test_a_single_table_of_a_commit_can_be_planned_and_the_others_stay() -> None:
    write_both({0: [1]})
    second = write_both({0: [2]})
    undo(plan_undo("main", second.id, table="silver.readings"))
    assert both() == [{0: [2]}, {0: [1]}]
    with pytest.raises(RefRefused, match=r"did not change gold\.other"):
        plan_undo("main", second.id, table="gold.other")


def test_a_table_that_changes_between_plan_and_undo_stops_the_undo_and_nothing_moves() -> None:
    write_both({0: [1]})
    plan = plan_undo("main", write_both({0: [2]}).id)
    write({0: [3]}, table=SILVER)
    with pytest.raises(RefRefused, match=r"silver\.readings is not as that commit left it"):
        undo(plan)
    assert both() == [{0: [2]}, {0: [3]}]


@pytest.mark.parametrize("text", ["abc", "ffffffff", "", "%", "' or 1=1"])
def test_an_id_that_is_not_one_commits_is_refused(text: str) -> None:
    write({0: [1]})
    with pytest.raises(RefRefused, match="commit"):
        plan_undo("main", text)


def test_a_version_whose_files_are_gone_is_refused() -> None:
    write({0: [1]})
    old = newest().moves[0].new
    second = write({0: [2]})
    assert second.rows == 1
    assert old is not None
    files.lake_io().delete(old)
    history.read_metadata.__globals__["_parsed"].clear()
    with pytest.raises(RefRefused, match=r"earlier version of raw\.readings is gone"):
        plan_undo("main", newest().id)
    assert found() == {0: [2]}


def test_a_branch_from_before_an_undo_does_not_bring_the_undone_rows_back() -> None:
    write_both({0: [1]})
    second = write_both({0: [2]})
    refs.create("dev")
    write({5: [5]}, ref="dev")
    undo(plan_undo("main", second.id))
    with pytest.raises(MergeConflict):
        refs.merge("dev")
    assert both() == [{0: [1]}] * 2


def test_a_branch_from_a_branch_that_failed_its_audit_cannot_be_merged_past_it() -> None:
    write({0: [1]})
    refs.create("audit", run_id="run")
    write({0: [2]}, ref="audit")
    refs.keep("audit", "check not_null failed")
    refs.create("fork", base="audit")
    write({1: [3]}, ref="fork")
    assert refs.merge("fork").into == "audit"
    assert found() == {0: [1]}


def test_an_undo_on_a_branch_leaves_main() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    undo(plan_undo("dev", newest("dev").id))
    assert (found(), found(ref="dev")) == ({0: [1]}, {0: [1]})


def test_the_lake_is_read_as_it_was_after_each_commit_and_at_a_time() -> None:
    first = write_both({0: [1]})
    second = write_both({0: [2], 1: [2]})
    undo(plan_undo("main", second.id))
    write_both({0: [4]})
    expected = {first.id: [1], second.id: [2, 2], newest().id: [4]}
    for commit, values in expected.items():
        with duck.connect(at=ref_log.find_moment("main", commit)) as connection:
            for table in ("raw.readings", "silver.readings"):
                shown = connection.execute(f"select value from lake.{table} order by all").fetchall()
                assert [value for (value,) in shown] == values
    created = refs.list_refs()[0].created_at
    assert pins.pin("main", at=first.at - dt.timedelta(microseconds=1)).pointers == {}
    with pytest.raises(RefRefused, match="there was no ref main"):
        pins.pin("main", at=created - dt.timedelta(seconds=1))


def test_readers_of_several_tables_never_see_an_undo_half_done() -> None:
    write_both({0: [1]})
    write_both({0: [2]})
    stop, torn = threading.Event(), list[object]()

    def poll() -> None:
        while not stop.is_set():
            pin = refs.pin("main")
            seen = [read.scan(pin, table)["value"].to_pylist() for table in sorted(pin.pointers)]
            if len(seen) != 2 or seen[0] != seen[1]:
                torn.append(seen)
            pins.release(pin.name)

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for _ in range(15):
            undo(plan_undo("main", newest().id))
    finally:
        stop.set()
        reader.join()
    assert torn == []
