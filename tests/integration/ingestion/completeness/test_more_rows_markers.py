"""An answer that speaks of more rows than were read is an error, whatever the source calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request
from listings import ITEMS, NEWEST_FIRST, answer, between, failure, paged, read, rows, spec


@pytest.mark.parametrize(
    ("paginator", "said"),
    [
        (None, {"remaining": 80}),
        (None, {"left": "80"}),
        (None, {"more": 80}),
        (None, {"has_more": 80}),
        (None, {"meta": {"rowsRemaining": 80}}),
        (None, {"paging": {"pages_left": 2}}),
        (None, {"itemsLeftCount": 80.0}),
        (None, {"omitted": 80}),
        (None, {"remaining": True}),
        (None, {"missing_rows": 80}),
        (None, {"exceededTransferLimit": True}),
        (None, {"limit_reached": "yes"}),
        (None, {"numberMatched": 120}),
        ({"type": "newest_first"}, {"remaining": 80}),
        ({"type": "page_number"}, {"left": 80}),
        ({"type": "cursor", "cursor_path": "next"}, {"remaining_count": 80}),
    ],
)
def test_rows_still_to_come_by_number_fail(
    server: FakeSource, paginator: dict[str, Any] | None, said: dict[str, Any]
) -> None:
    listed = rows(40)

    def serve(request: Request) -> Answer:
        if paginator == {"type": "newest_first"}:
            return answer({"items": between(listed, request, 40), **said})
        return answer({"items": [] if int(request.query.get("page", 0)) else listed, "next": None, **said})

    server.serve = serve
    refused = failure(spec(paginator, **{**NEWEST_FIRST, **ITEMS} if paginator else ITEMS), server.url)
    assert "the listing may lack rows" in refused.what
    assert "endpoint.not_markers" in (refused.next_step or "")


def test_rows_that_the_first_page_says_are_still_to_come_have_to_come(server: FakeSource) -> None:
    listed = rows(100)

    def serve(request: Request, served: int) -> Answer:
        found = paged(listed[:served], request, 30)
        start = int(request.query["offset"])
        return answer({"items": found, **({"remaining": 100 - start - len(found)} if found else {})})

    declared = spec({"type": "offset", "limit": 30}, **ITEMS)
    server.serve = lambda r: serve(r, 100)
    assert len(read(declared, server.url)[0]) == 100
    server.serve = lambda r: serve(r, 60)
    assert "remaining of the first answer there are 100 rows" in failure(declared, server.url).what


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"done": False, "nextRecordsUrl": "/q/1"}, {}),
        ({"paging": {"next": {"after": "33"}}}, {}),
        ({"continue": "zz"}, {}),
        ({"cursor": {"next": "c"}}, {}),
        ({"page": 1, "pages": 3}, {}),
        ({"result_info": {"total_count": 120}}, {}),
        ({"recordsTotal": 120, "recordsFiltered": 120}, {}),
        ({"total": 120.0}, {}),
        ({"total": "1,120"}, {}),
        ({"total": " 120 "}, {}),
        ({"total": "40+"}, {}),
        ({"hits": {"total": {"value": 40, "relation": "gte"}}}, {}),
        ({"limit": 40, "count": 40}, {}),
        ({"count": 120}, {}),
        ({"meta": {"pagination": {"count": 120}}}, {}),
        ({"offset": "itr/rec"}, {}),
        ({"LastEvaluatedKey": {"id": "r1"}}, {}),
        ({"_scroll_id": "zz"}, {}),
        ({"pagination": {"per_page": 40}}, {}),
        ({}, {"X_Per_Page": "40"}),
        ({}, {"X_Total_Count": "1,120"}),
        ({}, {"X_WP_Total": "120"}),
        ({}, {"X_WP_TotalPages": "3"}),
        ({}, {"X_Has_More": "true"}),
        ({}, {"x_ms_continuation": "abc"}),
    ],
)
def test_marks_of_a_next_page_by_the_names_of_common_sources_are_seen(
    server: FakeSource, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    server.serve = lambda r: answer({"items": rows(40), **fields}, **headers)
    assert "the listing may lack rows" in failure(spec(**ITEMS), server.url).what


def test_a_page_of_its_own_limit_is_the_last_if_links_led_to_it_or_the_limit_is_not_kept(
    server: FakeSource,
) -> None:
    listed = rows(80)

    def linked(request: Request) -> Answer:
        last = request.query.get("page") == "2"
        body = {"items": listed[40:] if last else listed[:40], "limit": 40}
        return answer(body, **({} if last else {"Link": '<rows?page=2>; rel="next"'}))

    server.serve = linked
    assert len(read(spec({"type": "header_link"}, **ITEMS), server.url)[0]) == 80
    server.serve = lambda _: answer({"items": listed, "limit": 40})
    assert len(read(spec(**ITEMS), server.url)[0]) == 80


@pytest.mark.parametrize(
    "beside",
    [
        {"has_more": 1},
        {"has_more": "yes"},
        {"done": 0},
        {"isLast": "false"},
        {"hasMorePages": True},
        {"additional_data": {"pagination": {"more_items_in_collection": True}}},
        {"next": True},
        {"next": ["/rows?page=2"]},
        {"nextPage": {"page": 2}},
        {"nextPageLink": "/rows?page=2"},
        {"nextPageKey": "abc"},
        {"LastEvaluatedKey": {"id": {"S": "x"}}},
        {"offset": "itrAbc/rec"},
        {"links": [{"rel": "self", "href": "/a"}, {"rel": "prefetch next", "href": "/b"}]},
        {"link": [{"relation": "self", "url": "/a"}, {"relation": "next", "url": "/b"}]},
        {"_scroll_id": "abc"},
        {"paging": {"cursors": {"after": "x"}}},
        {"pageInfo": {"endCursor": "x"}},
        {"totalDocs": 130},
        {"meta": {"result_total": "1,300"}},
        {"metadata": {"resultset": {"count": 130, "offset": 1}}},
        {"number_of_pages": 3},
        {"nhits": 130},
        {"hitCount": 130},
        {"iTotalRecords": "130"},
        {"full_count": 130},
        {"list_info": {"has_more_rows": True}},
        {"batch": {"hasMore": True}},
        {"searchInfo": {"totalResults": "130"}},
        {"queries": {"nextPage": [{"startIndex": 51}]}},
        {"moreDataAvailable": True},
        {"resumptionToken": "x"},
        {"bookmark": "g1AAAA"},
        {"more_url": "/rows?page=2"},
        {"eof": False},
        {"maxResultsReached": True},
    ],
)
def test_whatever_a_source_calls_what_follows_a_single_page_fails(
    server: FakeSource, beside: dict[str, Any]
) -> None:
    server.serve = lambda r: answer({"items": rows(50), **beside})
    refused = failure(spec(**ITEMS), server.url)
    assert "the listing may lack rows" in refused.what
    assert "endpoint.not_markers" in (refused.next_step or "")


@pytest.mark.parametrize(
    "beside",
    [
        {"has_more": 0, "next_cursor": "abc"},
        {"isLast": "true", "nextPage": 2},
        {"pageInfo": {"endCursor": "x", "hasNextPage": False}},
        {"hits": {"total": {"value": 50}}, "_scroll_id": "abc"},
        {"count": 50, "offset": "0", "limit": 100},
        {"links": [{"rel": "self", "href": "/a"}, {"rel": "next", "href": None}], "next": {"href": None}},
        {"meta": {"pages": 1, "total": "50", "next": None}},
        {"eof": True, "nhits": 50, "bookmark": "nil", "query": {"count": 1000}, "end": "2026-11-02"},
        {"resumptionToken": "", "overflow": False, "list_info": {"row_count": 50, "has_more_rows": False}},
    ],
)
def test_a_single_page_that_says_it_is_whole_is_complete(server: FakeSource, beside: dict[str, Any]) -> None:
    server.serve = lambda r: answer({"items": rows(50), **beside})
    assert len(read(spec(**ITEMS), server.url)[0]) == 50


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [
        (200, "X-Pagination", '{"total": 130, "next_page": 2}'),
        (200, "X-Pagination-Total-Count", "130"),
        (200, "X-Pagination-Page-Count", "3"),
        (200, "X-Pagination-Next-Page", "2"),
        (206, "Content-Range", "items 0-49/*"),
        (206, "Content-Range", "items 0-49/130"),
        (206, "Content-Range", "items 0-49/" + "9" * 5000),
        (200, "X-Pages", "3"),
        (200, "X-Last-Page", "2"),
        (200, "X-Result-Count", "130"),
        (200, "X-Truncated", "true"),
        (200, "X-Has-More-Rows", "yes"),
        (200, "Link", '</rows?page=2> rel="next"'),
    ],
)
def test_headers_that_speak_of_more_fail(server: FakeSource, status: int, header: str, value: str) -> None:
    server.serve = lambda r: Answer(json.dumps(rows(50)).encode(), status, {header: value})
    assert "the listing may lack rows" in failure(spec(), server.url).what


@pytest.mark.parametrize("header", ["X-Pages", "X-Count", "X-Partial", "X-Truncated"])
def test_headers_that_speak_of_no_more_do_not(server: FakeSource, header: str) -> None:
    value = {"X-Pages": "1", "X-Count": "50"}.get(header, "false")
    server.serve = lambda r: Answer(json.dumps(rows(50)).encode(), headers={header: value})
    assert len(read(spec(), server.url)[0]) == 50


@pytest.mark.parametrize(
    "relation",
    [
        'rel="next last"',
        'rel="prefetch next"',
        'rel="Next"',
        'REL="next"',
        "rel=next",
        "rel = 'next'",
        'title="a, <b>; rel=prev"; rel="next"',
        'rel="next"; results="true", </rows?page=0>; rel="first"',
        'rel="http://www.iana.org/assignments/relation/next"',
    ],
)
def test_a_link_is_followed_whatever_its_relation_is_written_like(server: FakeSource, relation: str) -> None:
    listed = rows(120)

    def serve(request: Request) -> Answer:
        here = int(request.query.get("page", 0))
        more = {"Link": f"<rows;v=1,2?page={here + 1}&sort=a;b,c>; {relation}"} if here < 2 else {}
        return answer(listed[here * 40 : (here + 1) * 40], **more)

    server.serve = serve
    assert len(read(spec({"type": "header_link"}), server.url)[0]) == 120
    assert "Link: rel=next" in failure(spec(), server.url).what
