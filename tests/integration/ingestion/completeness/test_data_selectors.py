"""What is not a list of rows at the place that `data_selector` names is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_source import Answer, FakeSource
from listings import START, answer, failure, read, rows, spec


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
