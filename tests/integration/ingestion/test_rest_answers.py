"""Answers of HTTP sources: JSON Lines and CSV as rows, statuses and texts that mean no rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from fake_source import Answer, fake_source
from listings import START, answer, rows, spec
from listings import failure as failure_of
from listings import read as read_of
from millpond.errors import SourceMalformed, SourceRefused

LINES = b"".join(json.dumps(row).encode() + b"\n" for row in rows(3))
CSV = f'id,at,text\n1,{START},a\n2,{START},"b,\n c"\n'.encode()


def read(body: Answer, **endpoint: Any) -> list[int]:
    with fake_source() as source:
        source.serve = lambda _: body
        return read_of(spec(endpoint=endpoint), source.url)[0]


def failure(body: Answer, **endpoint: Any) -> Any:
    with fake_source() as source:
        source.serve = lambda _: body
        return failure_of(spec(endpoint=endpoint), source.url)


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8", None])
def test_json_lines_are_rows_by_content_type_or_declaration(kind: str | None) -> None:
    declared = {} if kind else {"format": "jsonl"}
    body = Answer(LINES, headers={"Content-Type": kind or "text/plain"})
    assert read(body, **declared) == [2, 1, 0]
    assert read(Answer(LINES.replace(b"\n", b"\r\n\r\n"), headers=body.headers), **declared) == [2, 1, 0]
    assert read(Answer(b"", headers={"Content-Type": "x"}), format="jsonl") == []


@pytest.mark.parametrize("text", [LINES[:-5], LINES + b"oops\n", b'{"id": 1, "at": 1},{"id": 2, "at": 2}\n'])
def test_lines_that_are_cut_or_no_single_values_are_refused(text: bytes) -> None:
    assert isinstance(failure(Answer(text), format="jsonl"), SourceMalformed)


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=latin-1", None])
def test_csv_is_rows_by_content_type_or_declaration(kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    declared = {} if kind else {"format": "csv"}
    keys = {"key": ["id"], "columns": {"id": "int", "at": "int", "text": "string"}}
    with fake_source() as source:
        source.serve = lambda _: Answer(CSV, headers=headers)
        found, _ = read_of(spec(endpoint=declared, **keys), source.url)
    assert found == ["1", "2"]


def test_csv_may_have_another_delimiter() -> None:
    text = CSV.replace(b",\n", b"").replace(b",", b";")
    assert read(Answer(text), format="csv", delimiter=";") == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is empty"),
        (b"id,id\n1,2\n", "a name twice"),
        (b'id,at\n1,"2', "no CSV"),
        (b"id,at\n1,\xff\xfe\n", "no UTF-8"),
    ],
)
def test_csv_that_cannot_be_taken_apart_is_refused(text: bytes, reason: str) -> None:
    assert reason in failure(Answer(text), format="csv").what


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_no_content_is_no_rows_in_each_format(kind: str) -> None:
    assert read(Answer(b"", status=204), format=kind) == []


def test_json_of_a_source_that_calls_it_csv_is_json() -> None:
    body = answer(rows(2))
    assert read(Answer(body.body, headers={"Content-Type": "text/csv"})) == [1, 0]


@pytest.mark.parametrize(
    ("action", "status", "body"),
    [
        ({"status_code": 404}, 404, b"{}"),
        ({"content": "no orders"}, 200, b'"no orders for this day"'),
        ({"status_code": 422, "content": "empty"}, 422, b"empty"),
        ({"status_code": 503}, 503, b""),
    ],
)
def test_a_declared_answer_means_that_there_are_no_rows(
    action: dict[str, Any], status: int, body: bytes
) -> None:
    actions = [{**action, "action": "ignore"}]
    assert read(Answer(body, status=status), response_actions=actions) == []


def test_another_answer_than_the_declared_one_fails() -> None:
    actions = [{"status_code": 422, "content": "empty", "action": "ignore"}]
    assert isinstance(failure(Answer(b"wrong", status=422), response_actions=actions), SourceRefused)


def test_a_selector_may_lead_through_a_place_in_a_list() -> None:
    body = answer({"results": [{"rows": rows(3)}, {"rows": []}]})
    assert read(body, data_selector="results[0].rows") == [2, 1, 0]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ({"response_actions": [{"action": "ignore"}]}, "needs status_code or content"),
        ({"response_actions": [{"status_code": 404, "action": "skip"}]}, "ignore"),
        ({"format": "csv", "data_selector": "items"}, "leave out data_selector"),
        ({"format": "xml"}, "json"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused(endpoint: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        spec(endpoint=endpoint)
