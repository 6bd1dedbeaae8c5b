"""A reload never quietly loses days: far fewer rows are held back until somebody accepts them."""

from __future__ import annotations

import pytest
from shrunk_days import DAYS, TABLE, accept, rows_of, stored

from fake_source import Entries, FakeSource, reading
from millpond.errors import RowsHeldBack
from millpond.ingestion.load import load
from millpond.ingestion.window import Quarantine, Shrink
from millpond.lake import read, refs
from millpond.lake.held import list_held
from millpond.lake.merge import merge
from millpond.lake.most_rows import PROPERTY as MOST_ROWS
from millpond.partitions import Window
from source_tables import load_days, quarantined, raw, table_of


def test_emptied_and_shrunk_days_are_held_back_with_both_counts_and_the_others_load(
    loaded_source: FakeSource,
) -> None:
    loaded_source.serve = Entries(rows_of(40, 0, 19, 20, 41))
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
    assert "held back: 2026-11-02...2026-11-03" in refs.get_branch(list_held()[0].branch).purpose


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
    loaded_source: FakeSource, rule: Shrink, after: list[int], held_back: list[int]
) -> None:
    loaded_source.serve = Entries(rows_of(*after))
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
    loaded_source: FakeSource,
) -> None:
    for count in (25, 20):
        loaded_source.serve = Entries(rows_of(count))
        assert not load_days(DAYS[0]).failed
    loaded_source.serve = Entries(rows_of(19))
    (error,) = load_days(DAYS[0]).failed.values()
    assert "the source now has 19 good rows, 20 are loaded and 40 were once" in error.what
    assert stored()[0] == 20
    accept(DAYS[0])
    for count in (12, 45, 30):  # 19 is the measure from here on, then 45
        loaded_source.serve = Entries(rows_of(count))
        assert not load_days(DAYS[0]).failed
    loaded_source.serve = Entries(rows_of(22))
    assert list(load_days(DAYS[0]).failed) == [DAYS[0]]
    source, table = table_of("climate_entries")
    load(source, table, Window.of_day(DAYS[0]), ref="main", run_id="test", accept_shrink=True)
    assert (stored()[0], read.load_table("main", TABLE).properties[MOST_ROWS]) == (22, "{}")


def test_a_day_that_eroded_on_a_branch_keeps_its_measure_when_the_branch_is_rebased_and_merged(
    loaded_source: FakeSource,
) -> None:
    source, table = table_of("climate_entries")
    refs.create("dev")
    loaded_source.serve = Entries(rows_of(25, 50))
    assert not load(source, table, Window.of_day(DAYS[0]), ref="dev", run_id="test").failed
    assert not load_days(DAYS[1]).failed
    assert "raw.climate_entries" in merge("dev").rebased
    assert stored()[:2] == [25, 50]
    loaded_source.serve = Entries(rows_of(19))
    assert list(load_days(DAYS[0]).failed) == [DAYS[0]]


def test_rows_that_moved_to_quarantine_count_as_lost_and_the_message_tells_them(
    loaded_source: FakeSource,
) -> None:
    loaded_source.serve = Entries(
        [reading(n, DAYS[0], **({"lux": "LOW"} if n < 30 else {})) for n in range(40)]
    )
    result = load_days(DAYS[0], quarantine=Quarantine(fail_above=1.0))
    assert (
        "now has 10 good rows, 40 are loaded (quarantined: 30 now, 0 before)" in result.failed[DAYS[0]].what
    )
    assert (len(raw()), len(quarantined())) == (200, 1)
    accept(DAYS[0])
    assert (len(raw()), len(quarantined())) == (170, 31)
