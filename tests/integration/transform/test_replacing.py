from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import raw_rows
from millpond.lake import read, refs
from millpond.partitions import Window
from raw_rows import Build, Rows

UTC = dt.UTC
FIRST = dt.date(2026, 3, 1)
WINDOW = Window.of_days(FIRST, dt.date(2026, 3, 6))
CLIMATE = (
    "stg_climate_entries",
    "fct_climate_readings",
    "fct_daily_climate_metrics",
    "mrt_climate_overview",
)
DEVICES = ("stg_climate_entries", "device_versions", "dim_device")
State = Callable[..., dict[str, list[str]]]
Snapshots = Callable[..., dict[str, int | None]]


def test_building_the_same_rows_again_commits_nothing(build_all: Build, snapshots: Snapshots) -> None:
    raw_rows.load(WINDOW, raw_rows.random_entries(WINDOW, 1), raw_rows.random_events(WINDOW, 1))
    build_all(WINDOW)
    before = snapshots()
    again = build_all(WINDOW)
    assert [built.model for built in again.models if built.written.changed] == []
    assert snapshots() == before


@pytest.mark.parametrize("order", [(1, 0), pytest.param((2, 0, 1, 3), marks=pytest.mark.slow)])
def test_a_range_builds_the_same_tables_as_its_days_in_any_order(
    build_all: Build, state: State, order: tuple[int, ...]
) -> None:
    window = Window.of_days(FIRST, FIRST + dt.timedelta(days=len(order) - 1))
    raw_rows.load(window, raw_rows.random_entries(window, 2), raw_rows.random_events(window, 2))
    refs.create("days")
    build_all(window)
    for number in order:
        build_all(Window.of_day(window.days[number]), ref="days")
    assert state("days") == state("main")


def test_a_corrected_day_reaches_every_layer_and_the_day_after_it(
    build_all: Build, table: Callable[..., Rows], snapshots: Snapshots
) -> None:
    evening, midnight = dt.datetime(2026, 3, 4, 23, 50, tzinfo=UTC), dt.datetime(2026, 3, 5, tzinfo=UTC)
    window = Window.of_days(dt.date(2026, 3, 4), dt.date(2026, 3, 5))
    after = raw_rows.entry("after", midnight, 150)
    raw_rows.load(window, [raw_rows.entry("before", evening, 100), after])
    build_all(window)
    assert table("silver.fct_climate_readings", "entry_id")["after"]["lux_change"] == 50

    corrected = Window.of_day(dt.date(2026, 3, 4))
    raw_rows.load(corrected, [raw_rows.entry("before", evening, 130)])
    build_all(corrected)
    for name in ("silver.fct_climate_readings", "gold.mrt_climate_readings"):
        rows = table(name, "entry_id")
        assert (rows["before"]["lux"], rows["after"]["lux_change"]) == (130, 20)
    overview = table("gold.mrt_climate_overview", "reading_date")
    assert overview[dt.date(2026, 3, 5)]["avg_lux_7d"] == 140.0


def test_an_emptied_day_leaves_no_row_in_any_layer(build_all: Build, state: State) -> None:
    entries, events = raw_rows.random_entries(WINDOW, 4), raw_rows.random_events(WINDOW, 4)
    emptied = dt.date(2026, 3, 4)
    left, left_events = (
        [row for row in rows if row["_partition_date"] != emptied] for rows in (entries, events)
    )
    assert len(left) < len(entries)
    assert len(left_events) < len(events)
    refs.create("never_there")
    raw_rows.load(WINDOW, left, left_events, ref="never_there")
    build_all(WINDOW, ref="never_there")
    raw_rows.load(WINDOW, entries, events)
    build_all(WINDOW)
    assert state() != state("never_there")
    raw_rows.load(Window.of_day(emptied))
    build_all(Window.of_day(emptied))
    assert state() == state("never_there")


def test_the_day_after_is_left_out_until_its_own_turn(build_all: Build) -> None:
    raw_rows.load(WINDOW, raw_rows.random_entries(WINDOW, 5), raw_rows.random_events(WINDOW, 5))
    build_all(WINDOW, "stg_climate_entries")
    build_all(Window.of_day(FIRST), "fct_climate_readings")
    built = read.scan("main", "silver.fct_climate_readings", columns=["reading_date"])
    assert set(built["reading_date"].to_pylist()) <= {FIRST}


@pytest.mark.slow
def test_builds_of_different_days_at_once_all_land(build_all: Build, state: State) -> None:
    window = Window.of_days(FIRST, FIRST + dt.timedelta(days=2))
    raw_rows.load(window, raw_rows.random_entries(window, 6))
    refs.create("single")
    build_all(window, *CLIMATE, ref="single")
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda day: build_all(Window.of_day(day), *CLIMATE), window.days))
    assert all(result.merged for result in results)
    assert state("main") == state("single")
    assert [ref.name for ref in refs.list_refs()] == ["main", "single"]


def test_a_dimension_follows_the_entries_and_its_snapshot_keeps_what_it_said_before(
    build_all: Build, table: Callable[..., Rows]
) -> None:
    def read_at(day: int, place: str) -> None:
        at = dt.datetime(2026, 3, day, 12, tzinfo=UTC)
        window = Window.of_day(at.date())
        raw_rows.load(window, [raw_rows.entry(f"e{day}", at, 100, place=place)])
        build_all(window, *DEVICES)

    def places() -> list[tuple[str, int, int | None, bool]]:
        found = table("gold.dim_device", "surrogate_key").values()
        return sorted(
            (
                r["place"],
                r["effective_start"].day,
                r["effective_end"] and r["effective_end"].day,
                r["is_current"],
            )
            for r in found
        )

    read_at(2, "door")
    read_at(5, "window")
    assert places() == [("door", 2, 5, False), ("window", 5, None, True)]
    before = table("gold.dim_device", "surrogate_key").keys()
    read_at(4, "window")
    read_at(1, "door")
    assert places() == [("door", 1, 4, False), ("window", 4, None, True)]
    recorded = read.scan("main", "silver.device_versions").to_pylist()
    former = {r["surrogate_key"] for r in recorded if r["dbt_valid_to"]}
    assert before <= former
    assert {r["surrogate_key"] for r in recorded if not r["dbt_valid_to"]} == table(
        "gold.dim_device", "surrogate_key"
    ).keys()
