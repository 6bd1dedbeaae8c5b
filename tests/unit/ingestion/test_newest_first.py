"""Paging back through time loses and doubles nothing, whatever the pages look like."""

from __future__ import annotations

import json
import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from millpond.errors import PagingLoop
from millpond.ingestion.rest.newest_first import NewestFirst
from millpond.ingestion.rest.pages import PAYLOAD, TIME

MS = 1000


class Server:
    """Serves rows newest first, `cap` at most, in any order among equals."""

    def __init__(self, times: list[int], cap: int, seed: int) -> None:
        self.rows = [(t, json.dumps({"id": i, "t": t})) for i, t in enumerate(times)]
        self.cap, self.random, self.requests = cap, random.Random(seed), 0

    def page(self, start: int, end: int, size: int) -> pa.Table:
        self.requests += 1
        found = [r for r in self.rows if start <= r[0] * MS < end]
        self.random.shuffle(found)
        found.sort(key=lambda r: -r[0])
        return table(found[: min(size, self.cap)])


def table(rows: list[tuple[int, str]]) -> pa.Table:
    return pa.table(
        {
            PAYLOAD: pa.array([r[1] for r in rows], pa.string()),
            TIME: pa.array([r[0] * MS for r in rows], pa.int64()),
        }
    )


def walk(server: Server, start: int, end: int, size: int, most: int | None = None) -> list[str]:
    cursor, found = NewestFirst(start * MS, end * MS, size, MS, most), []
    while cursor.more:
        found += cursor.take(server.page(cursor.start, cursor.end, cursor.size))[PAYLOAD].to_pylist()
        assert server.requests < 3 * len(server.rows) + 10
    return found


@settings(max_examples=300)
@given(
    times=st.lists(st.integers(0, 40), max_size=60),
    size=st.integers(1, 12),
    most=st.none() | st.integers(12, 48),
    cap=st.integers(1, 60) | st.just(1000),
    seed=st.integers(0, 1000),
    window=st.tuples(st.integers(0, 40), st.integers(1, 41)).filter(lambda w: w[0] < w[1]),
)
def test_every_row_of_the_window_is_found_once(
    times: list[int], size: int, most: int | None, cap: int, seed: int, window: tuple[int, int]
) -> None:
    server = Server(times, cap, seed)
    start, end = window
    wanted = Counter(text for t, text in server.rows if start <= t < end)
    inside = Counter(t for t in times if start <= t < end)
    most_at_once = max(inside.values(), default=0)
    # Else nobody can know that rows are missing.
    assume(cap > most_at_once or (cap >= size and inside[min(inside)] <= cap))
    try:
        found = walk(server, start, end, size, most)
    except PagingLoop:
        assert most_at_once >= size  # more rows at one instant than a page shows: refused, not lost
        return
    assert Counter(found) == wanted


def test_a_page_that_ends_amid_rows_of_one_instant_loses_none_of_them() -> None:
    server = Server([5, 4, 4, 4, 3, 2, 2, 1], cap=1000, seed=1)
    assert sorted(walk(server, 0, 10, 3)) == sorted(text for _, text in server.rows)


def test_a_server_that_caps_below_the_asked_size_is_noticed() -> None:
    server = Server(list(range(95)), cap=10, seed=1)
    assert len(walk(server, 0, 1000, 1000)) == 95


def test_a_cap_above_the_size_that_hides_rows_of_one_instant_is_noticed() -> None:
    server = Server([5, 4, 4, 4, 4, 4, 4, 4, 3], cap=5, seed=1)
    with pytest.raises(PagingLoop, match="share one instant"):
        walk(server, 0, 10, 2)


def test_a_source_that_heeds_bounds_is_asked_for_more_at_a_time() -> None:
    server = Server(list(range(100)), cap=1000, seed=1)
    assert len(walk(server, 0, 100, 10, most=40)) == 100
    assert server.requests == 5


def test_a_source_that_serves_no_more_at_a_time_is_read_whole() -> None:
    server = Server(list(range(100)), cap=10, seed=1)
    assert len(walk(server, 0, 100, 10, most=40)) == 100


def test_a_short_first_page_costs_one_more_request() -> None:
    server = Server(list(range(5)), cap=1000, seed=1)
    assert len(walk(server, 0, 1000, 1000)) == 5
    assert server.requests == 2


def test_a_row_deleted_between_two_pages_is_kept() -> None:
    cursor = NewestFirst(0, 100 * MS, 3, MS)
    kept = cursor.take(table([(9, "a"), (8, "b"), (7, "c")]))[PAYLOAD].to_pylist()
    kept += cursor.take(table([(6, "d")]))[PAYLOAD].to_pylist()
    assert sorted(kept) == ["a", "b", "c", "d"]


def test_a_source_that_ignores_bounds_but_serves_all_it_has_is_read_once() -> None:
    everything = table([(9, "a"), (8, "b")])
    cursor = NewestFirst(0, 100 * MS, 10, MS)
    kept = cursor.take(everything)[PAYLOAD].to_pylist() + cursor.take(everything)[PAYLOAD].to_pylist()
    assert (sorted(kept), cursor.more) == (["a", "b"], False)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ([(9, "a"), (8, "b")], "same or newer"),
        ([(8, "a"), (9, "b")], "oldest rows first"),
        ([(9, "a"), (9, "b")], "share one instant"),
    ],
)
def test_a_full_page_that_leads_nowhere_is_refused(page: list[tuple[int, str]], reason: str) -> None:
    cursor = NewestFirst(0, 100 * MS, 2, MS)

    def walk_on() -> None:
        for _ in range(4):
            cursor.take(table(page))

    with pytest.raises(PagingLoop, match=reason):
        walk_on()
