"""An answer that says it failed, or whose status says it is not whole, is an error and no listing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fake_source import Answer, FakeSource
from listings import ITEMS, START, answer, failure, read, rows, spec


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


@pytest.mark.parametrize(("status", "words"), [(206, "HTTP 206"), (202, "not ready")])
def test_an_answer_that_is_not_the_whole_one_by_its_status_fails(
    server: FakeSource, status: int, words: str
) -> None:
    whole = answer({"items": rows(40)})
    server.serve = lambda r: Answer(whole.body, status, whole.headers)
    assert words in failure(spec(**ITEMS), server.url).what
