"""A reload never quietly loses days: far fewer rows are held back until somebody accepts them."""

from __future__ import annotations

import datetime as dt
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fake_source import DAY, Entries, FakeSource, reading
from millpond.errors import NothingHeld, RowsHeldBack
from millpond.ingestion.acceptance import accept_held
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.window import Quarantine, Shrink
from millpond.lake import read, refs, retention
from millpond.lake.held import list_held
from millpond.lake.merge import merge
from millpond.lake.most_rows import PROPERTY as MOST_ROWS
from millpond.partitions import Window
from processes import exit_code
from source_tables import load_days, quarantined, raw, table_of

DAYS = [DAY + dt.timedelta(n) for n in range(5)]
TABLE = "raw.climate_entries"


def rows_of(*counts: int, **changes: Any) -> list[dict[str, Any]]:
    """Return as many readings of each of the days as `counts` says."""
    return [
        reading(n, day, **changes) for day, count in zip(DAYS, counts, strict=False) for n in range(count)
    ]


def stored() -> list[int]:
    found = Counter(raw("_partition_date"))
    return [found[day] for day in DAYS]


def accept(first: dt.date, last: dt.date | None = None) -> LoadResult:
    _, table = table_of("climate_entries")
    return accept_held(table, Window.of_days(first, last or first), ref="main", run_id="accepted")


def held_days() -> list[dt.date]:
    return [each.day for each in list_held("main", TABLE)]


def held_branches() -> list[str]:
    return [ref.name for ref in refs.list_refs() if ref.name.startswith("held_")]


@pytest.fixture
def loaded(server: FakeSource) -> FakeSource:
    """Return a source of which five days of 40 rows are loaded, with a bad row on the second."""
    server.serve = Entries([*rows_of(40, 40, 40, 40, 40), reading(99, DAYS[1], lux="LOW")])
    assert not load_days(DAYS[0], DAYS[-1]).failed
    return server


def test_emptied_and_shrunk_days_are_held_back_with_both_counts_and_the_others_load(
    loaded: FakeSource,
) -> None:
    loaded.serve = Entries(rows_of(40, 0, 19, 20, 41))
    result = load_days(DAYS[0], DAYS[-1])
    assert sorted(result.failed) == DAYS[1:3]
    assert [p.partition for p in result.partitions] == [DAYS[0], *DAYS[3:]]
    assert stored() == [40, 40, 40, 20, 41]
    assert len(quarantined()) == 1
    (error,) = set(result.failed.values())
    assert isinstance(error, RowsHeldBack)
    assert "dlt_climate_entries, 2026-11-02...2026-11-03" in error.what
    assert "now has 19 good rows, 80 are loaded" in error.what
    assert "2026-11-02 40 → 0, 2026-11-03 40 → 19" in error.what
    assert "sources accept dlt_climate_entries --range 2026-11-02...2026-11-03" in error.next_step
    assert [(h.day, h.rows_loaded, h.rows_held) for h in list_held()] == [(DAYS[1], 40, 0), (DAYS[2], 40, 19)]
    assert "held back: 2026-11-02...2026-11-03" in refs.branch(list_held()[0].branch).purpose


def test_accepting_takes_the_smaller_state_with_its_quarantine_and_only_once(loaded: FakeSource) -> None:
    rows = [*rows_of(40, 0, 10), reading(50, DAYS[2], lux="LOW")]
    loaded.serve = Entries(rows)
    assert sorted(load_days(DAYS[0], DAYS[2]).failed) == DAYS[1:3]
    requests = len(loaded.requests)
    emptied = accept(DAYS[1])
    assert (stored(), held_days(), len(held_branches())) == ([40, 0, 40, 40, 40], [DAYS[2]], 1)
    assert quarantined() == []
    assert [(p.partition, p.rows_loaded) for p in emptied.partitions] == [(DAYS[1], 0)]
    result = accept(DAYS[0], DAYS[2])
    assert len(loaded.requests) == requests
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
    loaded.serve = Entries(rows)
    assert not load_days(DAYS[0], DAYS[2]).failed


def test_a_healthy_load_replaces_what_was_held_back(loaded: FakeSource) -> None:
    loaded.serve = Entries([])
    load_days(DAYS[0], DAYS[1])
    loaded.serve = Entries(rows_of(40, 41))
    assert not load_days(DAYS[1]).failed
    assert held_days() == [DAYS[0]]
    assert isinstance(accept(DAYS[1]).failed[DAYS[1]], NothingHeld)
    load_days(DAYS[0])
    assert (held_days(), held_branches()) == ([], [])
    assert stored() == [40, 41, 40, 40, 40]


def test_a_second_shrunk_load_replaces_what_was_held_back_and_its_branch(loaded: FakeSource) -> None:
    loaded.serve = Entries([])
    load_days(DAYS[0])
    loaded.serve = Entries(rows_of(5))
    load_days(DAYS[0])
    assert [(h.day, h.rows_loaded, h.rows_held) for h in list_held()] == [(DAYS[0], 40, 5)]
    assert len(held_branches()) == 1
    accept(DAYS[0])
    assert stored()[0] == 5


def test_rows_that_were_held_back_never_replace_newer_ones(loaded: FakeSource) -> None:
    loaded.serve = Entries([])
    load_days(DAYS[0], DAYS[2])
    (branch,) = held_branches()
    kept = list_held()
    loaded.serve = Entries(rows_of(40, 44))
    load_days(DAYS[1])
    _hold_again(kept[1], branch)
    result = accept(DAYS[0], DAYS[2])
    assert sorted(result.failed) == [DAYS[1]]
    assert "loaded again after" in result.failed[DAYS[1]].what
    assert stored() == [0, 44, 0, 40, 40]
    assert (held_days(), held_branches()) == ([], [])


def _hold_again(one: Any, branch: str) -> None:
    """Note a day as held back as a process does that was overtaken between its load and its note."""
    from millpond.lake.connect import pooled

    with pooled() as conn:
        conn.execute(
            "insert into lake_held (ref, table_name, day, branch, run_id, rows_loaded, rows_held,"
            " loaded_hash, details) values (%s, %s, %s, %s, 'x', 40, 0, %s, '{}')",
            (one.ref, one.table, one.day, branch, one.loaded_hash),
        )


@pytest.mark.slow
def test_a_load_killed_before_it_notes_what_it_holds_back_loses_nothing_and_a_repeat_holds_it(
    loaded: FakeSource,
) -> None:
    loaded.serve = Entries(rows_of(40, 3))
    assert exit_code(load_days, DAYS[0], DAYS[1], crash_at=["lake.held_before_note"]) == -signal.SIGKILL
    assert (stored(), held_days(), len(held_branches())) == ([40] * 5, [], 1)
    assert list(load_days(DAYS[0], DAYS[1]).failed) == [DAYS[1]]
    (held_back,) = list_held()
    assert (held_back.day, held_back.rows_loaded, held_back.rows_held) == (DAYS[1], 40, 3)
    assert len(raw()) == 200
    (left,) = set(held_branches()) - {held_back.branch}
    assert refs.branch(left).state == "audit"  # as of a run that may still work: removed after a day


def test_two_processes_that_hold_and_accept_the_same_day_agree(loaded: FakeSource) -> None:
    loaded.serve = Entries(rows_of(3, 3))
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


@pytest.mark.parametrize(
    ("rule", "after", "held_back"),
    [
        (Shrink(), [20, 20, 20, 20, 20], []),  # half of them is not less than half
        (Shrink(), [19, 40, 40, 40, 40], [0]),
        (Shrink(hold_below=0), [0, 0, 0, 0, 0], []),
        (Shrink(hold_below=1), [39, 40, 41, 40, 40], [0]),
        (Shrink(min_rows=41), [1, 40, 40, 40, 40], []),
        (Shrink(min_rows=41), [0, 40, 40, 40, 40], [0]),  # whatever its number of rows
        (Shrink(min_rows=41), [19, 40, 19, 40, 40], [0, 2]),  # what a load takes away counts together
    ],
    ids=["half", "less", "may shrink", "any loss", "small", "small and empty", "small ones"],
)
def test_what_is_held_back_is_the_sources_to_declare(
    loaded: FakeSource, rule: Shrink, after: list[int], held_back: list[int]
) -> None:
    loaded.serve = Entries(rows_of(*after))
    result = load_days(DAYS[0], DAYS[-1], shrink=rule)
    assert sorted(result.failed) == [DAYS[n] for n in held_back]
    assert stored() == [40 if n in held_back else count for n, count in enumerate(after)]


def test_what_the_writes_of_one_load_take_away_counts_together_though_days_between_them_fail(
    server: FakeSource,
) -> None:
    server.serve = Entries(rows_of(15, 15, 15, 15, 15))
    load_days(DAYS[0], DAYS[-1])
    broken = [reading(n, day, lux="LOW") for day in DAYS[1::2] for n in range(15)]
    server.serve = Entries(broken + rows_of(2, 0, 0, 0, 2))
    result = load_days(DAYS[0], DAYS[-1])
    assert {type(result.failed[day]) for day in DAYS[::2]} == {RowsHeldBack}
    assert (len(result.failed), stored()) == (5, [15] * 5)
    server.serve = Entries(rows_of(2, 15, 15, 15, 15))
    assert not load_days(DAYS[0], DAYS[-1]).failed
    server.serve = Entries(rows_of(0, 15, 15, 15, 15))
    assert list(load_days(DAYS[0], DAYS[-1]).failed) == [DAYS[0]]
    assert stored() == [2, 15, 15, 15, 15]


def test_a_day_that_erodes_is_compared_with_the_most_it_held_since_a_person_accepted_less(
    loaded: FakeSource,
) -> None:
    for count in (25, 20):
        loaded.serve = Entries(rows_of(count))
        assert not load_days(DAYS[0]).failed
    loaded.serve = Entries(rows_of(19))
    (error,) = load_days(DAYS[0]).failed.values()
    assert "the source now has 19 good rows, 20 are loaded and 40 were once" in error.what
    assert stored()[0] == 20
    accept(DAYS[0])
    for count in (12, 45, 30):  # 19 is the measure from here on, then 45
        loaded.serve = Entries(rows_of(count))
        assert not load_days(DAYS[0]).failed
    loaded.serve = Entries(rows_of(22))
    assert list(load_days(DAYS[0]).failed) == [DAYS[0]]
    source, table = table_of("climate_entries")
    load(source, table, Window.of_day(DAYS[0]), ref="main", run_id="test", accept_shrink=True)
    assert (stored()[0], read.loaded("main", TABLE).properties[MOST_ROWS]) == (22, "{}")


def test_a_day_that_eroded_on_a_branch_keeps_its_measure_when_the_branch_is_rebased_and_merged(
    loaded: FakeSource,
) -> None:
    source, table = table_of("climate_entries")
    refs.create("dev")
    loaded.serve = Entries(rows_of(25, 50))
    assert not load(source, table, Window.of_day(DAYS[0]), ref="dev", run_id="test").failed
    assert not load_days(DAYS[1]).failed
    assert "raw.climate_entries" in merge("dev").rebased
    assert stored()[:2] == [25, 50]
    loaded.serve = Entries(rows_of(19))
    assert list(load_days(DAYS[0]).failed) == [DAYS[0]]


def test_rows_that_moved_to_quarantine_count_as_lost_and_the_message_tells_them(loaded: FakeSource) -> None:
    loaded.serve = Entries([reading(n, DAYS[0], **({"lux": "LOW"} if n < 30 else {})) for n in range(40)])
    result = load_days(DAYS[0], quarantine=Quarantine(fail_above=1.0))
    assert (
        "now has 10 good rows, 40 are loaded (quarantined: 30 now, 0 before)" in result.failed[DAYS[0]].what
    )
    assert (len(raw()), len(quarantined())) == (200, 1)
    accept(DAYS[0])
    assert (len(raw()), len(quarantined())) == (170, 31)


def test_what_is_held_back_can_be_read_and_goes_when_its_time_is_over(loaded: FakeSource) -> None:
    loaded.serve = Entries(rows_of(7))
    load_days(DAYS[0])
    (branch,) = held_branches()
    assert read.count(branch, TABLE, window=Window.of_day(DAYS[0])) == 7
    assert branch not in [ref.name for ref in retention.clean()]
    assert branch in [ref.name for ref in retention.clean(dt.timedelta(0))]
    assert held_days() == []
    assert isinstance(accept(DAYS[0]).failed[DAYS[0]], NothingHeld)
    assert stored()[0] == 40


def test_a_load_that_accepts_less_takes_it_and_drops_what_was_held_back(loaded: FakeSource) -> None:
    loaded.serve = Entries([])
    load_days(DAYS[0], DAYS[-1])
    assert len(held_days()) == 5
    source, table = table_of("climate_entries")
    window = Window.of_days(DAYS[0], DAYS[-1])
    result = load(source, table, window, ref="main", run_id="test", accept_shrink=True)
    assert (result.failed, raw(), held_days(), held_branches()) == ({}, [], [], [])


def test_a_branch_holds_back_its_own_days_and_goes_with_them(loaded: FakeSource) -> None:
    refs.create("dev")
    loaded.serve = Entries([])
    source, table = table_of("climate_entries")
    result = load(source, table, Window.of_day(DAYS[0]), ref="dev", run_id="test")
    assert result.failed[DAYS[0]].next_step.count("--ref dev") == 1
    assert [each.day for each in list_held("dev")] == [DAYS[0]]
    assert held_days() == []
    refs.drop("dev")
    assert (list_held(), held_branches()) == ([], [])
