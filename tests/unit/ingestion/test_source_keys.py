"""docs/source-keys.md has each key that a source may have, with its default, and no other."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.endpoint import PAGINATORS
from millpond.ingestion.spec import SourceSpec

PAGE = (Path(__file__).parents[3] / "docs" / "source-keys.md").read_text()
Row = tuple[str, ...]


def tables() -> Iterator[tuple[str, Row, list[Row]]]:
    """Yield each table of the page: the heading above it, its columns, its rows."""
    heading, found = "", list[Row]()
    for line in [*PAGE.splitlines(), ""]:
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|"):
            found.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
        elif found:
            yield heading, found[0], found[2:]
            found = []


def documented() -> dict[str, dict[str, str]]:
    """Return the keys with their defaults, by heading."""
    return {
        heading: {key.strip("`"): default.strip("`") for key, default, _ in rows}
        for heading, columns, rows in tables()
        if columns[0] == "key"
    }


def default_of(field: FieldInfo) -> str:
    """Return a default as the page writes it."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    match value:
        case _ if field.is_required():
            return "required"
        case BaseModel(type=str(kind)) if "type" in type(value).model_fields:
            return kind
        case BaseModel():
            return "see below"
        case bool():
            return str(value).lower()
        case dt.timedelta():
            seconds = int(value.total_seconds())
            return next(
                f"{seconds // n}{u}" for u, n in (("h", 3600), ("m", 60), ("s", 1)) if not seconds % n
            )
        case float():
            return f"{value:g}"
        case tuple() if value:
            return f"[{', '.join(value)}]"
        case None | "" | () | {}:
            return "–"
    return str(value)


def declared(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the path of each part of a source, and its keys with their defaults."""
    kind = model.model_fields.get("type") if path == "rest.auth" else None
    place = f"`{path}`, `type: {kind.default}`" if kind else f"`{path}`"
    place = {"": "The file", "tables[]": "A table: `tables[]`"}.get(path, place)
    yield (
        place + (", each column" if path == "tables[].columns" else ""),
        {name: default_of(field) for name, field in model.model_fields.items()},
    )
    for name, field in model.model_fields.items():
        many = "[]" if get_origin(field.annotation) is tuple else ""
        for part in parts(field.annotation):
            yield from declared(part, f"{path}.{name}{many}".strip("."))


def parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in parts(argument)]


def test_the_page_has_each_key_of_a_source_with_its_default_and_no_other() -> None:
    assert documented() == dict(declared(SourceSpec))


def test_the_page_has_each_paginator_with_its_options_and_no_other() -> None:
    found = {columns[0]: rows for _, columns, rows in tables()}
    assert {name.strip("`") for name, _ in found["paginator"]} == set(PAGINATORS)
    options = {name.strip("`"): set(re.findall(r"`(\w+)`", of)) for name, of, *_ in found["option"]}
    assert options == {
        option: {kind for kind, has in PAGINATORS.items() if option in has}
        for option in set().union(*PAGINATORS.values())
    }


def test_the_page_has_each_placeholder() -> None:
    named = set(re.findall(r"\{(\w+)\}", PAGE))
    assert named == {*placeholders.CONNECTION, *placeholders.BOUNDS}
