"""What was held back is accepted once, replaced by a newer load, or dropped with its branch."""

from __future__ import annotations

import datetime as dt
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shrunk_days import DAYS, TABLE, accept, rows_of, stored

from fake_source import Entries, FakeSource, reading
from millpond.errors import NothingHeld, RowsHeldBack
from millpond.ingestion.load import load
from millpond.lake import housekeeping, read, refs
from millpond.lake.held import list_held
from millpond.partitions import Window
from processes import exit_code
from source_tables import load_days, quarantined, raw, table_of


def held_days() -> list[dt.date]:
    return [each.day for each in list_held("main", TABLE)]


def held_branches() -> list[str]:
    return [ref.name for ref in refs.list_refs() if ref.name.startswith("held_")]


def test_accepting_takes_the_smaller_state_with_its_quarantine_and_only_once(
    loaded_source: FakeSource,
) -> None:
    rows = [*rows_of(40, 0, 10), reading(50, DAYS[2], lux="LOW")]
    loaded_source.serve = Entries(rows)
    assert sorted(load_days(DAYS[0], DAYS[2]).failed) == DAYS[1:3]
    requests = len(loaded_source.requests)
    emptied = accept(DAYS[1])
    assert (stored(), held_days(), len(held_branches())) == ([40, 0, 40, 40, 40], [DAYS[2]], 1)
    assert quarantined() == []
    assert [(p.partition, p.rows_loaded) for p in emptied.partitions] == [(DAYS[1], 0)]
    result = accept(DAYS[0], DAYS[2])
    assert len(loaded_source.requests) == requests
    assert stored() == [40, 0, 10, 40, 40]
    assert quarantined("_partition_date") == [DAYS[2]]
    (taken,) = result.partitions
    assert (taken.partition, taken.rows_in_source, taken.rows_loaded, taken.rows_quarantined) == (
        *(DAYS[2], 11),
        *(10, 1),
    )
    assert taken.content_hash == load_days(DAYS[2]).partitions[0].content_hash
    assert (held_days(), held_branches()) == ([], [])
    assert {type(error) for error in accept(DAYS[0], DAYS[2]).failed.values()} == {NothingHeld}
    loaded_source.serve = Entries(rows)
    assert not load_days(DAYS[0], DAYS[2]).failed


def test_a_healthy_load_replaces_what_was_held_back(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries([])
    load_days(DAYS[0], DAYS[1])
    loaded_source.serve = Entries(rows_of(40, 41))
    assert not load_days(DAYS[1]).failed
    assert held_days() == [DAYS[0]]
    assert isinstance(accept(DAYS[1]).failed[DAYS[1]], NothingHeld)
    load_days(DAYS[0])
    assert (held_days(), held_branches()) == ([], [])
    assert stored() == [40, 41, 40, 40, 40]


def test_a_second_shrunk_load_replaces_what_was_held_back_and_its_branch(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries([])
    load_days(DAYS[0])
    loaded_source.serve = Entries(rows_of(5))
    load_days(DAYS[0])
    assert [(h.day, h.rows_loaded, h.rows_held) for h in list_held()] == [(DAYS[0], 40, 5)]
    assert len(held_branches()) == 1
    accept(DAYS[0])
    assert stored()[0] == 5


def test_rows_that_were_held_back_never_replace_newer_ones(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries([])
    load_days(DAYS[0], DAYS[2])
    (branch,) = held_branches()
    kept = list_held()
    loaded_source.serve = Entries(rows_of(40, 44))
    load_days(DAYS[1])
    _hold_again(kept[1], branch)
    result = accept(DAYS[0], DAYS[2])
    assert sorted(result.failed) == [DAYS[1]]
    assert "loaded again after" in result.failed[DAYS[1]].what
    assert stored() == [0, 44, 0, 40, 40]
    assert (held_days(), held_branches()) == ([], [])


def _hold_again(one: Any, branch: str) -> None:
    """Note a day as held back as a process does that was overtaken between its load and its note."""
    from millpond.lake.connect import borrow_connection

    with borrow_connection() as conn:
        conn.execute(
            "insert into lake_held (ref, table_name, day, branch, run_id, rows_loaded, rows_held,"
            " loaded_hash, details) values (%s, %s, %s, %s, 'x', 40, 0, %s, '{}')",
            (one.ref, one.table, one.day, branch, one.loaded_hash),
        )


@pytest.mark.slow
def test_a_load_killed_before_it_notes_what_it_holds_back_loses_nothing_and_a_repeat_holds_it(
    loaded_source: FakeSource,
) -> None:
    loaded_source.serve = Entries(rows_of(40, 3))
    assert exit_code(load_days, DAYS[0], DAYS[1], crash_at=["lake.held_before_note"]) == -signal.SIGKILL
    assert (stored(), held_days(), len(held_branches())) == ([40] * 5, [], 1)
    assert list(load_days(DAYS[0], DAYS[1]).failed) == [DAYS[1]]
    (held_back,) = list_held()
    assert (held_back.day, held_back.rows_loaded, held_back.rows_held) == (DAYS[1], 40, 3)
    assert len(raw()) == 200
    (left,) = set(held_branches()) - {held_back.branch}
    assert refs.get_branch(left).state == "audit"  # as of a run that may still work: removed after a day


def test_two_processes_that_hold_and_accept_the_same_day_agree(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries(rows_of(3, 3))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: load_days(DAYS[0], DAYS[1]), range(4)))
    assert {type(e) for result in results for e in result.failed.values()} == {RowsHeldBack}
    assert stored()[:2] == [40, 40]
    assert (held_days(), len(held_branches())) == (DAYS[:2], 1)
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: accept(DAYS[0], DAYS[1]), range(4)))
    assert any(len(result.partitions) == 2 for result in taken)
    assert stored()[:2] == [3, 3]
    assert (held_days(), held_branches()) == ([], [])


def test_what_is_held_back_can_be_read_and_goes_when_its_time_is_over(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries(rows_of(7))
    load_days(DAYS[0])
    (branch,) = held_branches()
    assert read.count(branch, TABLE, window=Window.of_day(DAYS[0])) == 7
    assert branch not in [ref.name for ref in housekeeping.drop_old_branches()]
    assert branch in [ref.name for ref in housekeeping.drop_old_branches(dt.timedelta(0))]
    assert held_days() == []
    assert isinstance(accept(DAYS[0]).failed[DAYS[0]], NothingHeld)
    assert stored()[0] == 40


def test_a_load_that_accepts_less_takes_it_and_drops_what_was_held_back(loaded_source: FakeSource) -> None:
    loaded_source.serve = Entries([])
    load_days(DAYS[0], DAYS[-1])
    assert len(held_days()) == 5
    source, table = table_of("climate_entries")
    window = Window.of_days(DAYS[0], DAYS[-1])
    result = load(source, table, window, ref="main", run_id="test", accept_shrink=True)
    assert (result.failed, raw(), held_days(), held_branches()) == ({}, [], [], [])


def test_a_branch_holds_back_its_own_days_and_goes_with_them(loaded_source: FakeSource) -> None:
    refs.create("dev")
    loaded_source.serve = Entries([])
    source, table = table_of("climate_entries")
    result = load(source, table, Window.of_day(DAYS[0]), ref="dev", run_id="test")
    assert result.failed[DAYS[0]].next_step.count("--ref dev") == 1
    assert [each.day for each in list_held("dev")] == [DAYS[0]]
    assert held_days() == []
    refs.drop("dev")
    assert (list_held(), held_branches()) == ([], [])
