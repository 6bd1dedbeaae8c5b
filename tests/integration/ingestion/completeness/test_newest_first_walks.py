"""A walk from the newest row back to the window's start lacks no row, or fails."""

from __future__ import annotations

from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request
from listings import HOUR, ITEMS, NEWEST_FIRST, START, answer, between, failure, read, row, rows, spec
from millpond.errors import FilterIgnored, ListingIncomplete

NEWEST: dict[str, Any] = {"paginator": {"type": "newest_first"}, "page": {"param": "limit", "size": 1000}}


@pytest.mark.parametrize("days_later", [1, 0.5])
def test_a_source_without_bounds_that_caps_its_answers_fails(server: FakeSource, days_later: float) -> None:
    listed = [row(n, START + n * HOUR // 12) for n in range(int((10 + days_later) * 288))][::-1]
    server.serve = lambda _: answer(listed[:500])
    assert isinstance(failure(spec(**NEWEST), server.url), FilterIgnored)


def test_a_source_without_bounds_that_serves_all_it_has_is_taken_with_each_row_once(
    server: FakeSource,
) -> None:
    listed = [row(3, START + 240 * HOUR), *rows(2), row(4, START - HOUR)]
    server.serve = lambda _: answer(listed)
    assert sorted(read(spec(**NEWEST), server.url)[0]) == [0, 1, 3, 4]


def test_pages_of_a_walk_whose_rows_are_out_of_order_fail(server: FakeSource) -> None:
    listed = rows(100)
    for place in range(0, 100, 8):
        listed[place], listed[place + 1] = listed[place + 1], listed[place]

    def bounded(request: Request) -> Answer:
        low, high = int(request.query["from"]), int(request.query["to"])
        return answer([r for r in listed if low <= r["at"] < high][:9])

    server.serve = bounded
    error = failure(spec(**NEWEST), server.url)
    assert isinstance(error, ListingIncomplete)
    assert "not listed newest first" in error.what


def test_an_odd_row_does_not_end_a_walk(server: FakeSource) -> None:
    listed, odd, later = rows(100), row(998, 0), row(999, START * 2)

    def bounded(request: Request) -> Answer:
        low, high = int(request.query["from"]), int(request.query["to"])
        return answer([later, *[r for r in listed if low <= r["at"] < high][:9], odd])

    server.serve = bounded
    assert set(read(spec(**NEWEST), server.url)[0]) >= set(range(100))


def test_rows_out_of_order_that_a_source_cuts_below_the_size_asked_for_fail(server: FakeSource) -> None:
    listed = rows(12)
    listed[5], listed[6], listed[0], listed[11] = listed[6], listed[5], listed[11], listed[0]

    def bounded(request: Request) -> Answer:
        low, high = int(request.query["from"]), int(request.query["to"])
        return answer([r for r in listed if low <= r["at"] < high][:7])

    server.serve = bounded
    assert "not listed newest first" in failure(spec(**NEWEST), server.url).what


def test_undecidable_rows_in_an_order_that_happens_to_look_right(server: FakeSource) -> None:
    listed = rows(12)
    picked = [[listed[4], listed[9], listed[11]], [listed[9], listed[11]]]
    server.script.extend(map(answer, picked))
    assert len(read(spec(**NEWEST), server.url)[0]) == 3


def test_undecidable_a_row_that_alone_lies_far_behind_its_place(server: FakeSource) -> None:
    listed = rows(300)
    misplaced = listed.pop(10)
    server.serve = lambda _: answer(listed)  # which would list `misplaced` next, and keeps no more
    found, listing = read(spec(window={"reach": {"rows": 300, "days": 30}}), server.url)
    assert misplaced["id"] not in found
    assert listing.order.goes_back_before(misplaced["at"] * 1000)


@pytest.mark.parametrize(
    "said",
    [
        lambda found, asked: {"total": 120},
        lambda found, asked: {"has_more": True},
        lambda found, asked: {"hits": {"total": {"value": 120, "relation": "eq"}}},
        lambda found, asked: {"recordsTotal": 120},
    ],
)
def test_a_walk_whose_last_answer_speaks_of_more_rows_fails(server: FakeSource, said: Any) -> None:
    listed = rows(120)
    server.serve = lambda r: answer({"items": between(listed, r, 20), **said(listed, r)})
    assert "the listing may lack rows" in failure(spec(**NEWEST_FIRST), server.url).what


def test_a_walk_whose_answers_count_what_they_were_asked_for_is_complete(server: FakeSource) -> None:
    listed = rows(120)
    server.serve = lambda r: answer({"items": between(listed, r, 20), "total": len(between(listed, r, 999))})
    assert sorted(read(spec(**NEWEST_FIRST), server.url)[0]) == list(range(120))


@pytest.mark.parametrize("size", [50, 1000])
def test_oldest_rows_first_below_a_page_fail_if_there_are_newer_ones(server: FakeSource, size: int) -> None:
    declared = spec(**{**NEWEST_FIRST, "page": {"param": "n", "size": size}})
    listed = rows(120)[::-1]
    server.serve = lambda r: answer({"items": between(listed, r, 20)})
    assert "oldest rows first" in failure(declared, server.url).what
    server.serve = lambda r: answer({"items": between(listed[:15], r, 20)})
    assert sorted(read(declared, server.url)[0]) == list(range(15))


@pytest.mark.parametrize("order", [1, 3])
def test_a_list_of_all_rows_in_another_order_than_newest_first_fails(server: FakeSource, order: int) -> None:
    listed = rows(300)[::-1]
    declared = spec(window={"reach": {"rows": 300, "days": 30}}, **ITEMS)
    server.serve = lambda r: answer({"items": [each for n in range(order) for each in listed[n::order]]})
    assert "not listed newest first" in failure(declared, server.url, days=1).what
    server.serve = lambda r: answer({"items": listed[::-1]})
    assert len(read(declared, server.url, days=1)[0]) == 300
