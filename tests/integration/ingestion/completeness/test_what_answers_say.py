"""What an answer says beside its rows, that it lacks some or failed, is never passed over."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request
from listings import START, answer, failure, paged, read, rows, spec

ITEMS = {"endpoint": {"data_selector": "items"}}
NEWEST_FIRST = {
    "endpoint": {"paginator": {"type": "newest_first"}, "data_selector": "items"},
    "page": {"param": "n", "size": 50},
}


def between(listed: list[dict[str, Any]], request: Request, cap: int) -> list[dict[str, Any]]:
    """Return the first `cap` rows of `listed` that lie in the time asked for."""
    low, high = int(request.query["from"]), int(request.query["to"])
    return [each for each in listed if low <= each["at"] < high][:cap]


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


@pytest.mark.parametrize(
    "beside",
    [
        {"error": "partial: upstream timeout"},
        {"errors": [{"message": "internal"}]},
        {"success": False},
        {"ok": False},
        {"timed_out": True},
        {"partial": True},
        {"success": 0},
        {"isSuccess": "false"},
        {"status": "error"},
        {"code": 500},
        {"fault": {"faultstring": "policy"}},
        {"meta": {"code": 400}},
        {"_shards": {"total": 5, "failed": 2}},
        {"warnings": ["results were truncated"]},
        {"partial": "true"},
        {"partial_results": "Yes"},
        {"isPartial": 1},
        {"partialData": True},
        {"incomplete_results": True},
        {"hasErrors": True},
        {"has_error": "true"},
        {"hasFailures": 2},
        {"errorCount": "3"},
        {"failed": 2},
        {"status": "partial_success"},
        {"status": "500"},
        {"jobComplete": False},
        {"ok": "no"},
        {"UnprocessedKeys": {"t": ["a"]}},
        {"_clusters": {"total": 2, "partial": 1}},
        {"message": "Partial results: upstream timed out"},
        {"notices": ["the output was truncated"]},
        {"result": {"error": "upstream timeout"}},
        {"result": {"status": "error"}},
        {"response": {"success": False}},
        {"data": {"errors": [{"message": "internal"}]}},
        {"results": {"meta": {"error": {"code": 7}}}},
    ],
)
@pytest.mark.parametrize("items", [None, [], [{"id": 1, "at": START}]])
def test_an_answer_that_says_it_failed_is_no_listing(
    server: FakeSource, beside: dict[str, Any], items: Any
) -> None:
    server.serve = lambda r: answer({"items": items, **beside})
    assert next(iter(beside)) in failure(spec(**ITEMS), server.url).what
    inner = [name for said in beside.values() if isinstance(said, dict) for name in (*said, "error")]
    endpoint = {"data_selector": "items", "not_markers": [*beside, *inner]}
    assert len(read(spec(endpoint=endpoint), server.url)[0]) == len(items or [])


@pytest.mark.parametrize(
    "beside",
    [
        {"error": None},
        {"errors": []},
        {"success": True},
        {"timed_out": False},
        {"status": "ok", "code": 0},
        {"status": 200, "meta": {"code": 200}},
        {"_shards": {"total": 5, "failed": 0}},
        {"warnings": ["v1 is deprecated"]},
        {"count": 1, "offset": "0", "_scroll_id": None, "LastEvaluatedKey": {}},
        {"total": "²", "pages": "many", "limit": 100},
        {"total": {"value": 1, "relation": "eq"}},
        {"partial": "false", "hasErrors": False, "isPartial": 0, "errorCount": 0, "failed": "0"},
        {"error": "none", "errors": {}, "errorCode": "0", "errorMessage": "OK"},
        {"error": {"code": 0, "message": ""}, "errors": [{}], "UnprocessedKeys": {}},
        {"result": {"error": None, "status": "success"}, "data": {"status": "failed", "code": 404}},
        {"jobComplete": True, "message": "ok", "notes": "a part of the fleet"},
        {"remaining": 0, "rows_left": "0", "more": 0, "limit_reached": False},
        {"quota_max": 300, "quota_remaining": 299, "rateLimit": {"limit": 60, "remaining": 59}},
        {"remaining": 59, "reset": 1764000000},
        {"meta": {"credits_used": 1, "remaining": 80}},
        {"has_more": False, "remaining": 80},
        {"pending": 3, "outstanding": 4, "missing": 2},
    ],
)
def test_an_answer_that_says_it_did_not_fail_is_one(server: FakeSource, beside: dict[str, Any]) -> None:
    server.serve = lambda r: answer({"items": [{"id": 1, "at": START}], **beside})
    assert read(spec(**ITEMS), server.url)[0] == [1]


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("result.items", {"result": {"error": "upstream timeout"}}),
        ("data.page.items", {"data": {"page": {"partial": "true"}}}),
        ("data.page.items", {"data": {"hasErrors": True}}),
        ("['data']['items']", {"data": {"success": False}}),
        ("result.items[*]", {"result": {"meta": {"errors": ["a"]}}}),
        ("$..items", {"result": {"error": "upstream timeout"}}),
    ],
)
def test_what_lies_on_the_way_to_the_rows_is_heard_but_no_field_of_a_row(
    server: FakeSource, selector: str, said: dict[str, Any]
) -> None:
    quiet = {
        "error": "e",
        "partial": "true",
        "hasErrors": True,
        "remaining": 80,
        "status": "failed",
        "code": 500,
    }
    listed = [{"id": 1, "at": START, **quiet, "result": {"error": "e"}, "meta": {"left": 80}}]

    def put(node: dict[str, Any], way: list[str]) -> dict[str, Any]:
        rest = {way[0]: put(node.get(way[0], {}), way[1:]) if way[1:] else listed}
        return {**node, **rest}

    way = ["result", "items"] if ".." in selector else re.findall(r"\w+", selector)
    declared = spec(endpoint={"data_selector": selector})
    server.serve = lambda _: answer(put({}, way))
    assert read(declared, server.url)[0] == [1]
    server.serve = lambda _: answer(put(said, way))
    assert "it says" in failure(declared, server.url).what


def test_the_fields_of_a_single_object_are_those_of_a_row(server: FakeSource) -> None:
    row = {"id": 1, "at": START, "status": "failed", "error": "e", "partial": True, "remaining": 80}
    for selector in ("$", "order"):
        declared = spec(endpoint={"data_selector": selector, "single_object": True})
        server.serve = lambda _, s=selector: answer(row if s == "$" else {s: row})
        assert read(declared, server.url)[0] == [1]
        server.serve = lambda _, s=selector: answer({"error": "down"} if s == "$" else {s: row, "error": "x"})
        assert "it says error" in failure(declared, server.url).what


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


@pytest.mark.parametrize("selector", ["items", "data.items", "data.items[*]"])
def test_a_list_given_twice_is_no_listing_as_one_of_them_would_be_lost(
    server: FakeSource, selector: str
) -> None:
    name = selector.split(".")[0]
    parts = [json.dumps(part if name == "items" else {"items": part}) for part in (rows(60), rows(120)[:60])]
    server.serve = lambda _: Answer(f'{{"{name}": {parts[0]}, "{name}": {parts[1]}}}'.encode())
    assert f"it has {name} twice" in failure(spec(endpoint={"data_selector": selector}), server.url).what


@pytest.mark.parametrize(
    ("selector", "body", "words"),
    [
        ("items", {"items": {"id": 1, "at": START}}, "at items is an object, not a list of rows"),
        ("items", {"items": {"1": {"id": 1, "at": START}}}, "set endpoint.single_object: true"),
        ("items", {"items": {}}, "is an object"),
        ("items", {"items": "please log in"}, "at items is a text, not a list of rows"),
        ("items", {"items": ""}, "is a text"),
        ("items", {"items": 7}, "is a number"),
        ("items", {"items": False}, "is a truth value"),
        ("items[*]", {"items": {"id": 1, "at": START}}, "at items is an object, not a list of rows"),
        ("items[*]", {"items": 0}, "is a number"),
        ("data.items", {"data": {"items": {"id": 1}}}, "at data.items is an object"),
        ("groups[*].items", {"groups": [{"items": []}, {"items": []}]}, "2 lists, not rows"),
        ("$", {"items": rows(3)}, "a list was expected, not an object; endpoint.data_selector"),
        ("$", "please log in", "a list was expected, not a text"),
    ],
)
def test_what_is_no_list_at_the_place_of_the_rows_is_no_listing(
    server: FakeSource, selector: str, body: Any, words: str
) -> None:
    server.serve = lambda _: answer(body)
    assert words in failure(spec(endpoint={"data_selector": selector}), server.url).what


@pytest.mark.parametrize(
    ("selector", "body", "ids"),
    [
        ("edges[*].node", {"edges": [{"node": {"id": 1, "at": START}}]}, [1]),
        ("edges[*].node", {"edges": []}, []),
        ("edges[*].node", {"edges": None}, []),
        ("groups[*].items[*]", {"groups": [{"items": [{"id": 1, "at": START}]}, {"items": None}]}, [1]),
        ("$..items", {"a": {"items": [{"id": 1, "at": START}]}}, [1]),
        ("'a:b'", {"a:b": [{"id": 1, "at": START}]}, [1]),
        ("items", {"items": None}, []),
        ("days.*[*]", {"days": {}}, []),
        ("days.*[*]", {"days": {"1": [{"id": 1, "at": START}], "2": [{"id": 2, "at": START}]}}, [1, 2]),
    ],
)
def test_rows_at_places_of_their_own_and_none_are_listings(
    server: FakeSource, selector: str, body: Any, ids: list[int]
) -> None:
    server.serve = lambda _: answer(body)
    assert read(spec(endpoint={"data_selector": selector}), server.url)[0] == ids


@pytest.mark.parametrize(("selector", "below"), [("$", lambda v: v), ("item", lambda v: {"item": v})])
def test_a_single_object_is_a_row_where_the_spec_says_so(
    server: FakeSource, selector: str, below: Any
) -> None:
    declared = spec(endpoint={"data_selector": selector, "single_object": True})
    server.serve = lambda _: answer(below({"id": 1, "at": START}))
    assert read(declared, server.url)[0] == [1]
    server.serve = lambda _: answer(below(None))
    assert read(declared, server.url)[0] == []
    server.serve = lambda _: answer(below(rows(3)))
    assert "is a list, not a single object" in failure(declared, server.url).what


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


@pytest.mark.parametrize(("status", "words"), [(206, "HTTP 206"), (202, "not ready")])
def test_an_answer_that_is_not_the_whole_one_by_its_status_fails(
    server: FakeSource, status: int, words: str
) -> None:
    whole = answer({"items": rows(40)})
    server.serve = lambda r: Answer(whole.body, status, whole.headers)
    assert words in failure(spec(**ITEMS), server.url).what


@pytest.mark.parametrize("order", [1, 3])
def test_a_list_of_all_rows_in_another_order_than_newest_first_fails(server: FakeSource, order: int) -> None:
    listed = rows(300)[::-1]
    declared = spec(window={"reach": {"rows": 300, "days": 30}}, **ITEMS)
    server.serve = lambda r: answer({"items": [each for n in range(order) for each in listed[n::order]]})
    assert "not listed newest first" in failure(declared, server.url, days=1).what
    server.serve = lambda r: answer({"items": listed[::-1]})
    assert len(read(declared, server.url, days=1)[0]) == 300


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
