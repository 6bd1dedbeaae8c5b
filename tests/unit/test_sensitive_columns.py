"""What is left of rows and errors about sensitive columns, where a check or an error would quote them."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from millpond.redaction import excerpt, without_excerpts
from millpond.transform.manifest import ParsedProject
from millpond.transform.sensitive import HIDDEN, Touched, find_touched

_EMAIL = {"name": "email", "config": {"meta": {"sensitive": True}}}


class _Project(ParsedProject):
    """A project whose manifest is given."""

    def document(self) -> dict[str, Any]:
        def node(columns: list[Any], *reads: str, **more: Any) -> dict[str, Any]:
            return {
                "columns": {each["name"]: each for each in columns},
                "depends_on": {"nodes": list(reads)},
                "config": {"materialized": "table"},
                "resource_type": "model",
                **more,
            }

        def test(name: str, column: str, *reads: str) -> dict[str, Any]:
            about = {"name": name, "kwargs": {"column_name": column}}
            return node([], *(reads or ("model.p.people",)), test_metadata=about)

        people = node([{"name": "id"}, _EMAIL, {"name": "Phone", "meta": {"sensitive": True}}])
        return {
            "sources": {},
            "nodes": {
                "model.p.people": people,
                "model.p.counts": node([{"name": "n"}], "model.p.people"),
                "model.p.other": node([{"name": "id"}]),
                "test.p.unique_id": test("unique", "id"),
                "test.p.unique_email": test("unique", "email"),
                "test.p.own": node([], "model.p.people"),
                "test.p.of_other": node([], "model.p.other"),
            },
        }


@pytest.fixture
def project() -> ParsedProject:
    return _Project(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("test", "row", "shown"),
    [
        ("unique_id", {"unique_field": 7, "n_records": 2}, {"unique_field": 7, "n_records": 2}),
        ("unique_email", {"unique_field": "a@b", "n_records": 2}, {"unique_field": HIDDEN, "n_records": 2}),
        ("own", {"ID": 7, "EMAIL": "a@b", "phone": None}, {"ID": 7, "EMAIL": HIDDEN, "phone": None}),
        ("own", {"who": "a@b", "unique_field": "a@b"}, {"who": HIDDEN, "unique_field": HIDDEN}),
        ("of_other", {"who": "anything"}, {"who": "anything"}),
    ],
)
def test_a_failing_row_keeps_columns_that_are_known_and_not_sensitive(
    project: ParsedProject, test: str, row: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert find_touched(project, f"test.p.{test}").hide_row(row) == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("Conversion Error: Could not convert string 'a@b' to INT32", "Conversion Error: "),
        ("Invalid Input Error: who is a@b", "Invalid Input Error: "),
        ("Integer value 3005551234 out of bounds", ""),
        ("TrinoUserError(type=USER_ERROR, name=INVALID_CAST_ARGUMENT, message=\"Cannot cast 'a@b'\")", ""),
    ],
)
@pytest.mark.parametrize("model", ["people", "counts"])
def test_an_error_about_rows_says_its_kind_alone(
    project: ParsedProject, model: str, error: str, shown: str
) -> None:
    found = find_touched(project, f"model.p.{model}").hide_error(error, model)
    assert found == f"{shown}(hidden, as {model} reads sensitive columns)"
    assert find_touched(project, "model.p.other").hide_error(error, "other") == error


@pytest.mark.parametrize(
    "error",
    [
        'Binder Error: Referenced column "emial" not found in FROM clause!',
        'Parser Error: syntax error at or near "selec"',
        "TrinoUserError(type=USER_ERROR, name=COLUMN_NOT_FOUND, message=\"Column 'emial'\")",
        "Out of Memory Error: failed to offload data block of size 256.0 KiB (768.0 KiB/976.5 KiB used).",
        'IO Error: Could not write file "/a/duckdb_temp_storage_DEFAULT-0.tmp": No space left on device',
        "model people returned rows of 2026-11-02\nUnharmed: every table\nNext: correct its day",
    ],
)
def test_an_error_about_the_sql_is_shown_whole(project: ParsedProject, error: str) -> None:
    assert find_touched(project, "model.p.people").hide_error(error, "people") == error


def test_a_hook_may_read_any_table(project: ParsedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "millpond.transform.sensitive.find_sensitive_tables", lambda _: {"gold.people": frozenset({"email"})}
    )
    assert find_touched(project, "operation.p.p-on-run-end-0").hide_row({"n": 5}) == {"n": HIDDEN}
    assert Touched().hide_row({"n": 5}) == {"n": 5}


def test_what_an_error_quotes_of_an_answer_can_be_taken_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.redaction._excerpts", deque())  # those of this process stay as they are
    body = excerpt(b'{"email": "a@b.org",\n "note": "it\'s"}')
    text = f"the answer is no page of rows; it begins {body!r}; HTTP 400: {excerpt('no')}, not now"
    assert without_excerpts(text) == (
        "the answer is no page of rows; it begins '(hidden)'; HTTP 400: (hidden), not now"
    ) or "a@b" not in without_excerpts(text)
    assert "not now" in without_excerpts(text)
