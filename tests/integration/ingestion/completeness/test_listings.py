"""A listing is complete by a stated rule of its paginator, or the load fails and says why."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import yaml

from fake_source import Answer, FakeSource, Request
from listings import HOUR, START, answer, failure, paged, read, row, rows, spec
from millpond.errors import FilterIgnored, ListingIncomplete, PagingLoop, SourceRefused
from millpond.ingestion.rest.endpoint import Bearer, Rest

OFFSET = {"type": "offset", "limit": 100}
ITEMS = {"endpoint": {"data_selector": "items"}}
PAGE = {"page": {"param": "limit", "size": 100}}


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


@pytest.mark.parametrize(
    ("answered", "paginator"),
    [
        (answer(rows(50), Link='<rows?page=2>; rel="next"'), "header_link"),
        (answer(rows(50), X_Next_Cursor="abc"), "header_cursor"),
        (answer({"items": rows(50), "next": "/rows?page=2"}), "json_link"),
        (answer({"items": rows(50), "meta": {"next_cursor": "abc"}}), "cursor"),
        (answer({"items": rows(50), "has_more": True}), "cursor"),
        (answer({"items": rows(50), "total": 130}), "cursor"),
        (answer({"items": rows(50), "total": "130"}), "cursor"),
        (answer({"items": rows(50), "total": 3}), "cursor"),
        (answer({"items": rows(50), "total_pages": 3}), "cursor"),
    ],
)
def test_a_next_page_that_nobody_follows_fails_with_a_paginator_to_use(
    server: FakeSource, answered: Answer, paginator: str
) -> None:
    server.serve = lambda _: answered
    error = failure(spec(**({} if answered.body.startswith(b"[") else ITEMS)), server.url)
    assert isinstance(error, ListingIncomplete)
    assert f"type: {paginator}" in error.next_step
    assert "not_markers" in error.next_step


@pytest.mark.parametrize(
    ("place", "declared"),
    [
        ("next", None),
        ("@odata.nextLink", None),
        ("meta.next_cursor", None),
        ("paging.next_url", {"type": "json_link", "missing_means_end": True}),
        ("next_page_token", {"type": "cursor", "cursor_path": "nextt", "missing_means_end": True}),
        ("X-Next-Cursor", None),
        ("X-Next-Cursor", {"type": "header_cursor", "missing_means_end": True}),
        ("Link", None),
    ],
)
def test_the_paginator_that_a_failure_advises_lists_all_rows(
    server: FakeSource, place: str, declared: dict[str, Any] | None
) -> None:
    listed = rows(130)

    def serve(request: Request) -> Answer:
        start = int(request.query.get("cursor", 0))
        following = start + 50 if start + 50 < 130 else None
        link, shown = f"/rows?cursor={following}", None if following is None else str(following)
        body: dict[str, Any] = {"items": listed[start : start + 50]}
        if place == "Link":
            return answer(body, **({"Link": f'<{link}>; rel="next"'} if shown else {}))
        if place.startswith("X-"):
            return answer(body, **({place: shown} if shown else {}))
        value = shown if shown is None or "cursor" in place or "token" in place else link
        outer, _, inner = place.partition(".") if place[0] != "@" else (place, "", "")
        return answer({**body, outer: {inner: value} if inner else value})

    server.serve = serve
    advice = failure(spec(declared, **ITEMS), server.url).next_step
    if found := re.search(r"\{ type: .*? \}", advice):
        advised = yaml.safe_load(found[0])
    else:
        assert declared is not None
        found = re.match(r"set (\w+: \S+) in endpoint.paginator", advice)
        assert found, advice
        advised = {**declared, **yaml.safe_load(found[1])}
    assert len(read(spec(advised, **ITEMS), server.url)[0]) == 130


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


@pytest.mark.parametrize("paginator", [None, {"type": "header_link"}])
def test_a_full_page_without_a_next_one_fails(server: FakeSource, paginator: Any) -> None:
    server.serve = lambda _: answer(rows(100))
    assert "a full page of 100 rows" in failure(spec(paginator, **PAGE), server.url).what


@pytest.mark.parametrize(
    "paginator",
    [
        {"type": "cursor", "cursor_path": "nxt"},
        {"type": "json_link", "next_url_path": "nxt"},
        {"type": "cursor", "cursor_path": "id", "has_more_path": "more_to_come"},
        {**OFFSET, "total_path": "number"},
        {**OFFSET, "has_more_path": "number"},
    ],
)
def test_a_path_that_is_found_on_no_page_fails_by_name(server: FakeSource, paginator: Any) -> None:
    server.serve = lambda _: answer({"items": rows(100)})
    error = failure(spec(paginator, **ITEMS), server.url)
    assert any(str(path) in error.what for name, path in paginator.items() if name.endswith("path"))
    assert "not found in" in error.what or "found on no page" in error.what


@pytest.mark.parametrize("last", ["", False, None])
@pytest.mark.parametrize(
    ("paginator", "second"),
    [({"type": "json_link"}, "?page=2"), ({"type": "cursor", "cursor_path": "next"}, "2")],
)
def test_an_empty_next_is_the_end(server: FakeSource, paginator: Any, second: str, last: Any) -> None:
    listed = rows(20)
    first = answer({"items": listed[:10], "next": second})
    server.script.extend([first, answer({"items": listed[10:], "next": last})])
    assert len(read(spec(paginator, **ITEMS), server.url)[0]) == 20


def _stamped(request: Request, listed: list[Any]) -> Answer:
    stamp = len(request.query.get("t", "")) + 1
    return answer({"items": listed, "next": f"/rows?t={'x' * stamp}"})


@pytest.mark.parametrize("serve", ["stamped", "shuffled", "last", "empty", "cursor"])
def test_a_loop_ends_within_a_few_requests(server: FakeSource, serve: str) -> None:
    listed, paginator = rows(40), {"type": "json_link"}
    if serve == "stamped":
        server.serve = lambda r: _stamped(r, listed)
    elif serve == "shuffled":
        server.serve = lambda r: _stamped(r, random.Random(len(server.requests)).sample(listed, 40))
    elif serve == "last":
        paginator = {"type": "page_number"}
        server.serve = lambda r: answer({"items": listed[min(int(r.query["page"]), 3) * 10 :][:10]})
    elif serve == "empty":
        server.serve = lambda r: _stamped(r, [])
    else:
        paginator = {"type": "cursor", "cursor_path": "next"}
        server.serve = lambda r: answer(
            {"items": rows(40 * len(server.requests))[:40], "next": "ab"[len(server.requests) % 2]}
        )
    assert isinstance(failure(spec(paginator, **ITEMS), server.url), PagingLoop)
    assert len(server.requests) <= 7


@pytest.mark.parametrize("hole", [0, 30, 60])
@pytest.mark.parametrize("paginator", [{"type": "offset", "limit": 30}, {"type": "page_number"}])
def test_an_empty_page_is_the_end_only_if_nothing_lies_behind_it(
    server: FakeSource, paginator: dict[str, Any], hole: int
) -> None:
    page = {} if paginator["type"] == "offset" else {"page": {"param": "limit", "size": 30}}
    declared, listed = spec(paginator, **page), rows(110)
    place = {"type": "offset", "offset": str(hole)} if not page else {"page": str(hole // 30)}
    server.serve = lambda r: answer(
        [] if place.items() <= {**r.query, **paginator}.items() else paged(listed, r, 30)
    )
    error = failure(declared, server.url)
    assert "is empty, and the one behind it holds rows" in error.what
    assert "paginator" not in error.next_step


@pytest.mark.parametrize("behind", [200, 404, 400])
def test_a_look_behind_the_end_may_be_refused_and_hides_no_total(server: FakeSource, behind: int) -> None:
    listed, said = rows(60), {"total_count": 60}

    def serve(request: Request) -> Answer:
        start = int(request.query["offset"])
        refused = start > 60 and behind >= 400
        return Answer(b"no", behind) if refused else answer({"items": listed[start:][:30], **said})

    server.serve = serve
    assert len(read(spec({"type": "offset", "limit": 30}, **ITEMS), server.url)[0]) == 60
    said["total_count"] = 90
    error = failure(spec({"type": "offset", "limit": 30}, **ITEMS), server.url)
    assert "total_count says 90, and 60 rows in 2 pages were received" in error.what


@pytest.mark.parametrize("behind", [10, 0])
def test_an_empty_page_ends_cursors_only_if_the_next_one_is_empty_too(
    server: FakeSource, behind: int
) -> None:
    listed = rows(30)
    pages = {"0": ("a", listed[:20]), "a": ("b", []), "b": ("c", listed[20 : 20 + behind]), "c": ("c", [])}

    def serve(request: Request) -> Answer:
        following, page = pages[request.query.get("cursor", "0")]
        return answer({"items": page, "next": following})

    server.serve = serve
    declared = spec({"type": "cursor", "cursor_path": "next", "stop_after_empty_page": True}, **ITEMS)
    if behind:
        assert "the one behind it holds rows" in failure(declared, server.url).what
    else:
        assert len(read(declared, server.url)[0]) == 20


def test_a_last_page_that_the_link_header_names_has_to_be_read(server: FakeSource) -> None:
    listed, link = rows(120), {"next": True}

    def serve(request: Request) -> Answer:
        page = int(request.query.get("page", "1"))
        relations = {
            "first": 1,
            "last": 3,
            **({"next": page + 1} if page < 3 and (page < 2 or link["next"]) else {}),
        }
        links = [f'<{server.url}/rows?page={number}>; rel="{name}"' for name, number in relations.items()]
        return answer(listed[(page - 1) * 40 :][:40], Link=", ".join(links))

    server.serve = serve
    assert len(read(spec({"type": "header_link"}), server.url)[0]) == 120
    link["next"] = False
    assert (
        "a last one (rel=last) that was not read" in failure(spec({"type": "header_link"}), server.url).what
    )
    ignored = spec({"type": "header_link"}, endpoint={"not_markers": ["Link"]})
    assert len(read(ignored, server.url)[0]) == 80
    server.serve = lambda _: answer(listed[:40], Link=f'<{server.url}/rows?page=3>; rel="last"')
    assert "rel=last" in failure(spec(), server.url).what
    server.serve = lambda _: answer(listed[:40], Link=f'<{server.url}/rows?page=1>; rel="last"')
    assert len(read(spec(), server.url)[0]) == 40


def test_pages_that_overlap_and_rows_that_come_in_are_no_loop(server: FakeSource) -> None:
    listed = rows(100)

    def overlapping(request: Request) -> Answer:
        start = int(request.query.get("cursor", 0))
        following = str(start + 9) if start + 10 < len(listed) else None
        return answer({"items": listed[start : start + 10], "next": following})

    server.serve = overlapping
    found, _ = read(spec({"type": "cursor", "cursor_path": "next"}, **ITEMS), server.url)
    assert sorted(set(found)) == list(range(100))

    def growing(request: Request) -> Answer:
        page = paged(listed, request, cap=30)
        if len(listed) == 103:
            return answer(page)
        listed.insert(0, row(len(listed), START + len(listed) * HOUR // 6))
        return answer(page)

    server.serve = growing
    assert set(read(spec(OFFSET), server.url)[0]) >= set(range(100))


def test_rows_in_another_order_on_each_page_fail(server: FakeSource) -> None:
    server.serve = lambda r: answer(paged(random.Random(str(r.query)).sample(rows(90), 90), r, cap=30))
    assert isinstance(failure(spec(OFFSET), server.url), ListingIncomplete | PagingLoop)


@pytest.mark.parametrize("paginator", [None, {"type": "newest_first"}])
def test_a_source_that_ignores_the_filter_fails(server: FakeSource, paginator: Any) -> None:
    other_days = [row(n, START + (30 * 24 + n) * HOUR) for n in range(20)][::-1]
    server.serve = lambda _: answer([*other_days, *rows(3)])
    error = failure(spec(paginator, **(PAGE if paginator else {})), server.url)
    assert isinstance(error, FilterIgnored)
    assert "window.params" in error.next_step


def test_a_declared_status_means_no_more_pages_but_never_no_rows(server: FakeSource) -> None:
    declared = spec({"type": "page_number"}, endpoint={"no_more": [404]})
    server.serve = lambda r: (
        answer(page) if (page := rows(20)[int(r.query["page"]) * 10 :][:10]) else Answer(b"no", 404)
    )
    assert len(read(declared, server.url)[0]) == 20
    assert "HTTP 404" in failure(spec({"type": "page_number"}), server.url).what
    server.serve = lambda _: Answer(b"no", 404)
    assert "HTTP 404" in failure(declared, server.url).what


def test_addresses_and_tokens_that_cannot_be_used_are_named(server: FakeSource) -> None:
    server.serve = lambda _: Answer(b"", 302, {"Location": "/rows"})
    assert "redirects lead in a circle" in failure(spec(), server.url).what
    for nowhere in ("http://[::bad/", "https://[1", "http://a..b/", f"http://{'x' * 300}/"):
        server.serve = lambda _, to=nowhere: Answer(b"", 302, {"Location": to})
        assert isinstance(error := failure(spec(), server.url), SourceRefused), nowhere
        assert error.unharmed
        assert error.next_step
    server.serve = lambda _: Answer(b"", 302, {"Location": "/rows"})
    assert "http:// or https://" in failure(spec(), server.url.removeprefix("http://")).next_step
    server.serve = lambda r: answer({"items": rows(3), "next": "localhost:1/rows"})
    error = failure(spec({"type": "json_link"}, **ITEMS), server.url)
    assert isinstance(error, SourceRefused)
    assert "does not start with http:// or https://" in error.what
    auth = Bearer(token="{token}")
    source = spec().model_copy(update={"rest": Rest(base_url="{url}", auth=auth)})
    error = failure(source, server.url, token="ключ-s3cr3t")
    assert "not latin-1" in error.what
    assert "s3cr3t" not in str(error)
    assert "MILLPOND_SHOP_TOKEN" in error.next_step


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
