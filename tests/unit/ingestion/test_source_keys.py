"""Each key of a source is on its page and in the schema for editors, and each example is read as shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from millpond.ingestion.json_schema import source_schema
from millpond.ingestion.key_texts import OPTION_TEXTS, PAGINATOR_TEXTS, describe_key
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.connection import Rest
from millpond.ingestion.rest.paginator_spec import PAGINATORS
from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.table_spec import KINDS, SourceTable
from millpond.settings import settings, source_files
from project_folders import CHECKOUT
from reference_pages import page
from source_reference import EXAMPLES, parts, tables

SCHEMA = jsonschema.Draft202012Validator(source_schema())


def keys(model: Any) -> Iterator[tuple[Any, str]]:
    for name, field in model.model_fields.items():
        yield model, name
        for part in parts(field.annotation):
            yield from keys(part)


def mistakes(text: str) -> list[str]:
    return [error.message for error in SCHEMA.iter_errors(yaml.safe_load(text))]


def test_each_key_of_a_source_has_a_meaning_and_an_example() -> None:
    silent = {
        f"{model.__name__}.{name}"
        for model, name in keys(SourceSpec)
        if not (describe_key(model, name) and model.model_fields[name].examples)
    }
    assert silent == {"Bearer.type", "ApiKey.type", "HttpBasic.type", "OAuth2ClientCredentials.type"}


def test_the_page_has_each_part_of_a_source_once() -> None:
    headings = [heading for heading, _ in tables(SourceSpec)]
    assert len(headings) == len(set(headings)) > 20
    assert [line for line in page("sources.md").splitlines() if line in headings] == headings


def test_each_paginator_and_option_has_a_meaning() -> None:
    assert set(PAGINATOR_TEXTS) == set(PAGINATORS)
    assert set(OPTION_TEXTS) == set().union(*PAGINATORS.values())


def test_the_page_has_each_placeholder() -> None:
    named = set(re.findall(r"\{(\w+)\}", page("sources.md"))) - {"date"}
    assert named == {*placeholders.CONNECTION, *placeholders.BOUNDS}


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_an_example_of_the_page_is_a_source_that_shows_what_it_says(example: dict[str, Any]) -> None:
    source = SourceSpec.model_validate(yaml.safe_load(example["spec"]))
    (table,) = source.tables
    there = {source.kind, table.load, table.writes}
    if source.rest:
        there |= {table.http.paginator.type, source.rest.auth.type if source.rest.auth else ""}
    assert set(example["shows"]) <= there
    assert mistakes(example["spec"]) == []


def test_the_examples_show_each_kind_credential_paginator_load_and_write() -> None:
    shown = {word for example in EXAMPLES for word in example["shows"]}
    literals = [SourceTable.model_fields[name].annotation for name in ("load", "write")]
    words = {str(word) for kind in literals for word in _words(kind)}
    auths = {part.model_fields["type"].default for part in parts(Rest.model_fields["auth"].annotation)}
    assert shown == {*KINDS, *PAGINATORS, *words, *auths}


def _words(annotation: Any) -> Iterator[Any]:
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _words(argument)


def test_the_schema_takes_each_source_that_ships_and_that_of_the_tests() -> None:
    files = [*(CHECKOUT / "sources").glob("*.yaml"), *source_files(settings().code)]
    assert len(files) > 3
    assert {str(file): mistakes(file.read_text()) for file in files} == {str(file): [] for file in files}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("key: [id]", "keys: [id]"),
        ("id: int", "id: integer"),
        ("id: int", "id: { type: int, mim: 1 }"),
        ("path: orders", "path: orders, paginator: { type: offset, limits: 5 }"),
        ("key: [id]", "key: [id]\n    retries: { delay: soon }"),
        ("ordered_at }", "ordered_at, unit: us }"),
    ],
)
def test_the_schema_refuses_what_a_source_cannot_say(before: str, after: str) -> None:
    spec = EXAMPLES[0]["spec"]
    assert before in spec
    assert mistakes(spec.replace(before, after, 1))


def test_the_schema_takes_the_short_forms() -> None:
    short = '{ type: int, no_value: [-999, "n/a"], on_bad: null }, price: "decimal(18,2)"'
    assert mistakes(EXAMPLES[0]["spec"].replace("amount: number", f"amount: {short}")) == []
