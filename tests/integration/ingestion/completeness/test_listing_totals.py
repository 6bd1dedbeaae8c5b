"""A total that a source states has to be reached, and a page below the size asked for hides no rows."""

from __future__ import annotations

from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request
from listings import ITEMS, OFFSET, PAGE, START, answer, failure, paged, read, row, rows, spec


def test_an_offset_advances_by_the_rows_received_and_reaches_the_total(server: FakeSource) -> None:
    listed = rows(130)
    server.serve = lambda r: answer({"items": paged(listed, r, cap=50), "total": 130})
    found, _ = read(spec({**OFFSET, "total_path": "total"}, **ITEMS), server.url)
    assert sorted(found) == list(range(130))


def test_a_declared_total_that_is_not_reached_fails(server: FakeSource) -> None:
    server.serve = lambda r: answer({"items": paged(rows(80), r), "total": 130})
    error = failure(spec({**OFFSET, "total_path": "total"}, **ITEMS), server.url)
    assert "it has 130 rows, and 80 rows in 1 page were received" in error.what


@pytest.mark.parametrize(("said", "complete"), [("130", True), (130.0, True), (" 130 ", True), ("²", False)])
def test_a_declared_total_is_a_number_however_it_is_written(
    server: FakeSource, said: Any, complete: bool
) -> None:
    server.serve = lambda r: answer({"items": paged(rows(130), r), "total": said})
    declared = spec({**OFFSET, "total_path": "total"}, **ITEMS)
    if complete:
        assert len(read(declared, server.url)[0]) == 130
    else:
        assert "not a number" in failure(declared, server.url).what


def test_a_total_reached_is_not_taken_for_the_end_until_nothing_follows(server: FakeSource) -> None:
    listed = rows(130)

    def of_the_page(request: Request) -> Answer:
        page = paged(listed, request, cap=50)
        return answer({"items": page, "total": len(page)}) if page else Answer(b"{}", 416)

    server.serve = of_the_page
    assert len(read(spec({**OFFSET, "total_path": "total"}, **ITEMS), server.url)[0]) == 130


@pytest.mark.parametrize("skips", [True, False])
def test_a_page_below_the_size_asked_for_is_not_the_last_and_hides_no_rows(
    server: FakeSource, skips: bool
) -> None:
    listed = rows(130)

    def numbered(request: Request) -> Answer:
        asked, page = int(request.query["limit"]), int(request.query["page"])
        start = page * (asked if skips else min(asked, 50))
        return answer(listed[start : start + min(asked, 50)])

    server.serve = numbered
    found, _ = read(spec({"type": "page_number"}, **PAGE), server.url)
    assert sorted(found) == list(range(130))


@pytest.mark.parametrize("after", [200, 404, 400])
@pytest.mark.parametrize("total", [{}, {"total_path": "total"}])
def test_rows_behind_a_cap_are_found_though_the_second_page_is_empty_or_refused(
    server: FakeSource, after: int, total: dict[str, str]
) -> None:
    listed = rows(60)

    def skipping(request: Request) -> Answer:
        asked, page = int(request.query["limit"]), int(request.query["page"])
        found = listed[page * asked : page * asked + min(asked, 50)]
        return answer({"items": found, "total": 60}) if found or after == 200 else Answer(b"no", after)

    server.serve = skipping
    endpoint = {"data_selector": "items", **({"no_more": [after]} if after > 200 else {})}
    declared = spec({"type": "page_number", **total}, endpoint=endpoint, **PAGE)
    assert sorted(read(declared, server.url)[0]) == list(range(60))


def test_a_total_that_counts_the_rows_of_a_page_hides_no_rows_behind_a_cap(server: FakeSource) -> None:
    listed = rows(60)

    def skipping(request: Request) -> Answer:
        asked, page = int(request.query["limit"]), int(request.query["page"])
        found = listed[page * asked : page * asked + min(asked, 50)]
        return answer({"items": found, "total": len(found)})

    server.serve = skipping
    declared = spec({"type": "page_number", "total_path": "total"}, **ITEMS, **PAGE)
    assert "60 rows in 2 pages were received" in failure(declared, server.url).what


def test_a_source_that_refuses_unusual_page_sizes_is_taken_if_its_first_page_was_the_last(
    server: FakeSource,
) -> None:
    listed = rows(30)

    def choosy(request: Request) -> Answer:
        if request.query["limit"] != "100":
            return Answer(b"no", 400)
        return answer(listed[int(request.query["page"]) * 100 :][:100])

    server.serve = choosy
    assert len(read(spec({"type": "page_number"}, **PAGE), server.url)[0]) == 30
    listed += [row(1_000 + n, START) for n in range(200)]
    server.serve = lambda r: (
        answer(listed[int(r.query["page"]) * 100 :][:50]) if r.query["limit"] == "100" else Answer(b"no", 400)
    )
    error = failure(spec({"type": "page_number"}, **PAGE), server.url)
    assert "refuses pages of that size" in error.what


def test_a_total_that_a_paginator_does_not_reach_is_no_reason_for_the_same_paginator(
    server: FakeSource,
) -> None:
    server.serve = lambda r: answer({"items": paged(rows(80), r), "total_count": 130, "next": None})
    for paginator in (OFFSET, {"type": "page_number"}, {"type": "cursor", "cursor_path": "next"}):
        advice = failure(spec(paginator, **ITEMS), server.url).next_step
        assert "endpoint.paginator" not in advice
        assert "total_count means something else" in advice


def test_a_field_that_only_looks_like_a_total_may_be_declared_as_none(server: FakeSource) -> None:
    server.serve = lambda _: answer({"items": rows(50), "total": 130})
    endpoint = {"data_selector": "items", "not_markers": ["total"]}
    assert len(read(spec(endpoint=endpoint), server.url)[0]) == 50


def test_a_total_of_rows_that_were_listed_twice_is_reached(server: FakeSource) -> None:
    server.serve = lambda _: answer({"items": [*rows(50), *rows(2)], "total": 50})
    assert len(read(spec(**ITEMS), server.url)[0]) == 52


@pytest.mark.parametrize(
    ("paginator", "said"),
    [
        ({"type": "cursor", "cursor_path": "next"}, {"total": 120}),
        ({"type": "cursor", "cursor_path": "next"}, {"total_pages": 4}),
        ({"type": "json_link", "next_url_path": "link"}, {"total": 120}),
        ({"type": "page_number"}, {"total": 120}),
        ({"type": "offset", "limit": 30}, {"meta": {"pages": 4}}),
    ],
)
def test_a_total_that_only_the_first_answer_says_is_heard(
    server: FakeSource, paginator: dict[str, Any], said: dict[str, Any]
) -> None:
    listed = rows(120)[:60]

    def serve(request: Request) -> Answer:
        asked = request.query
        here = int(asked.get("cursor") or asked.get("page") or int(asked.get("offset", 0)) // 30)
        follows = (
            {"next": str(here + 1), "link": f"?page={here + 1}"}
            if here == 0
            else {"next": None, "link": None}
        )
        found = listed[here * 30 : (here + 1) * 30]
        return answer({"items": found, **follows, **(said if here == 0 else {})})

    server.serve = serve
    given = {"endpoint": {"data_selector": "items", "not_markers": ["next", "link"]}}
    assert "the listing may lack rows" in failure(spec(paginator, **given), server.url).what
