"""Runs do exactly what is due: nothing twice, nothing else, days in order, none longer than allowed."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from millpond.backfill.chunks import (
    MOST_DAYS,
    ROWS_A_CHUNK,
    choose_chunk_days,
    find_pipelines,
    merge_whole_assets,
    split_into_chunks,
)
from millpond.backfill.plan import Item, State
from millpond.backfill.staleness import Node
from millpond.instance.provenance import Edge

FIRST = dt.date(2026, 1, 1)
DAILY, WHOLE = ["raw", "stg", "fct"], ["calendar", "overview", "marts/overview"]


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def due(asset: str, partition: dt.date | None) -> Item:
    return Item(asset, partition, State.MISSING, "", True)


@given(
    days=st.sets(st.tuples(st.sampled_from(DAILY), st.integers(0, 60).map(day))),
    whole=st.sets(st.sampled_from(WHOLE)),
    first=st.sets(st.sampled_from(WHOLE)),
    most_days=st.integers(1, 20),
)
def test_runs_cover_what_is_due_exactly_once_and_in_order(
    days: set[tuple[str, dt.date]], whole: set[str], first: set[str], most_days: int
) -> None:
    todo = [due(*one) for one in days] + [due(asset, None) for asset in whole]
    chunks = list(split_into_chunks(todo, DAILY + WHOLE, most_days, first))
    done = [
        (asset, one)
        for chunk in chunks
        for asset in chunk.assets
        for one in (chunk.window.days if chunk.window else [None])
    ]
    assert len(done) == len(set(done))
    assert set(done) == {(item.asset, item.partition) for item in todo}
    windows = [chunk.window for chunk in chunks if chunk.window]
    assert windows == sorted(windows)
    assert all(len(window) <= most_days for window in windows)
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert all(list(chunk.assets) == [a for a in DAILY + WHOLE if a in chunk.assets] for chunk in chunks)


def test_days_in_a_row_with_the_same_assets_are_one_run() -> None:
    todo = [due(asset, day(n)) for n in range(10) for asset in DAILY] + [due("overview", None)]
    first, last = split_into_chunks(todo, DAILY + WHOLE, 366)
    assert (first.assets, first.window and len(first.window)) == (tuple(DAILY), 10)
    assert (last.assets, last.window) == (("overview",), None)


def test_a_gap_or_another_set_of_assets_begins_a_new_run() -> None:
    todo = [due("raw", day(n)) for n in (0, 1, 3)] + [due("stg", day(1)), due("stg", day(4))]
    chunks = list(split_into_chunks(todo, DAILY, 366))
    assert [(chunk.assets, str(chunk.window)) for chunk in chunks] == [
        (("raw",), "2026-01-01"),
        (("raw", "stg"), "2026-01-02"),
        (("raw",), "2026-01-04"),
        (("stg",), "2026-01-05"),
    ]


def test_what_days_are_made_from_comes_before_them() -> None:
    todo = [due("fct", day(0)), due("calendar", None), due("overview", None)]
    chunks = list(split_into_chunks(todo, DAILY + WHOLE, 366, {"calendar"}))
    assert [chunk.assets for chunk in chunks] == [("calendar",), ("fct",), ("overview",)]


def test_pipelines_are_cut_into_runs_apart_and_whole_assets_join_the_last_run_of_their_own() -> None:
    todo = [due("raw", day(n)) for n in range(6)] + [due("stg", day(n)) for n in range(2, 4)]
    todo += [due(asset, None) for asset in WHOLE]
    apart = {"raw": frozenset("a"), "stg": frozenset("b"), "overview": frozenset("a")}
    apart |= {"marts/overview": frozenset("b")}
    chunks = list(split_into_chunks(todo, DAILY + WHOLE, 4, pipelines=apart))
    windows = [(chunk.assets, chunk.window and chunk.window.days[0]) for chunk in chunks]
    assert windows == [(("raw",), day(0)), (("stg",), day(2)), (("raw",), day(4)), (tuple(WHOLE), None)]
    assert [(chunk.assets, chunk.whole) for chunk in merge_whole_assets(chunks, apart)] == [
        (("raw",), ()),
        (("stg",), ("calendar", "marts/overview")),
        (("raw",), ("overview",)),
    ]


def test_whole_assets_alone_are_a_run_of_their_own() -> None:
    chunks = list(split_into_chunks([due("overview", None)], WHOLE, 4))
    assert merge_whole_assets(chunks, {}) == chunks


def test_what_reads_one_another_is_one_pipeline_and_a_whole_asset_is_in_all_it_reads() -> None:
    def node(name: str, *parents: str, daily: bool = True) -> Node:
        return Node(name, daily, edges=tuple(Edge(parent, 0 if daily else None) for parent in parents))

    nodes = [node("a"), node("b"), node("c"), node("ab", "a", "b"), node("calendar", daily=False)]
    found = find_pipelines([*nodes, node("d", "c"), node("whole", "ab", "d", "calendar", daily=False)])
    assert found["a"] == found["b"] == found["ab"] != found["c"] == found["d"]
    assert found["whole"] == found["a"] | found["c"]
    assert found["calendar"] == frozenset()


@given(st.floats(0, 1e12))
def test_a_run_holds_no_more_rows_than_it_may_unless_a_single_day_does(rows: float) -> None:
    days = choose_chunk_days(rows)
    assert 1 <= days <= MOST_DAYS
    assert days == 1 or days * rows <= ROWS_A_CHUNK
