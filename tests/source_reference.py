"""The page of the keys of a source, made from the models that read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from millpond.ingestion.inspection.python import PythonProposal
from millpond.ingestion.json_schema import show_duration
from millpond.ingestion.key_texts import OPTION_TEXTS, PAGINATOR_TEXTS, describe_key
from millpond.ingestion.rest.paginator_spec import PAGINATORS
from millpond.ingestion.spec import SourceSpec

Row = tuple[str, ...]
EXAMPLES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).with_name("source_examples.yml")).read_text())
_INTRO = """\
A source is one file in `sources/`, named like the source; [Load a source](../sources.md) says what becomes
of its rows. A key that is not on this page is refused, with file, line and the nearest name. `–` means that
there is no default. Times are written `30s`, `5m`, `2h`, `1d`. `millpond sources schema` prints the same as
a JSON Schema for editors.

Texts of `rest`, `endpoint` and `news.params` may hold `{url}`, `{user}`, `{token}` and `{token_sha1}`,
which come from `MILLPOND_<SOURCE>_URL`, `_USER` and `_TOKEN`. Those of `window.params`, and of `path`,
`params`, `headers`, `json` and `data` of an endpoint, may also hold bounds of the requested time:

- `{start_ms}`, `{end_ms}`, `{start_s}`, `{end_s}`, `{start_iso}` and `{end_iso}`; the end is excluded;
- `{start_date}`, `{end_date}` (excluded) and `{last_date}` (the last day itself), in the configured zone or
  that of `window.zone`; in any form of strftime `{start:%Y%m%d}`, `{end:%Y%m%d}` and `{last:%Y%m%d}`.

A parameter whose placeholder has no value is omitted."""


def sources_page() -> Iterator[tuple[str, Row, list[Row]] | str]:
    """Yield the page: texts as they are, and tables as heading, columns and rows."""
    yield "# Keys of a source"
    yield _INTRO
    for heading, rows in tables(SourceSpec):
        yield heading, ("key", "default", "meaning", "example"), rows
        if heading == "### `tables[].endpoint.paginator`":
            yield "", ("paginator", "the next page"), [(f"`{k}`", PAGINATOR_TEXTS[k]) for k in PAGINATORS]
            yield "", ("option", "of", "default", "meaning"), [_option(name) for name in OPTION_TEXTS]
    yield "## Examples"
    yield "Each is a whole file in `sources/`."
    for example in EXAMPLES:
        yield f"### {example['title']}"
        yield f"```yaml\n{example['spec']}```"
    yield "### Rows that Python code yields"
    yield "`millpond sources new feed --kind python` writes this; a dlt resource may stand for the function."
    yield f"```python\n{PythonProposal('feed', 'feed', {}, {}, [], [], None).text()}```"


def tables(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, list[Row]]]:
    """Yield the heading of each part of a source, and a row for each of its keys."""
    kind = model.model_fields.get("type") if path == "rest.auth" else None
    place = f"### `{path}`" + (f", `type: {kind.default}`" if kind else "")
    place += ", each column" if path == "tables[].columns" else ""
    place = {"": "## The file", "tables[]": "## A table: `tables[]`"}.get(path, place)
    yield place, [_key(model, name, field) for name, field in model.model_fields.items()]
    for name, field in model.model_fields.items():
        many = "[]" if get_origin(field.annotation) is tuple else ""
        for part in parts(field.annotation):
            yield from tables(part, f"{path}.{name}{many}".strip("."))


def parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in parts(argument)]


def _key(model: type[BaseModel], name: str, field: FieldInfo) -> Row:
    default, example = default_of(field), (field.examples or [""])[0]
    text = describe_key(model, name)
    if name == "type" and default not in ("required", "string"):
        text = "the word that says which"
    shown = default if default in ("required", "–", "see below") else f"`{default}`"
    return f"`{name}`", shown, text, f"`{example}`" if example else ""


def default_of(field: FieldInfo) -> str:
    """Return a default as the page writes it."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return str(getattr(value, "type", "see below"))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and value:
        return f"[{', '.join(value)}]"
    return show_duration(value) or ("–" if value in (None, "", (), {}) else str(value))


def _option(name: str) -> Row:
    default, text = OPTION_TEXTS[name]
    of = ", ".join(f"`{kind}`" for kind, has in PAGINATORS.items() if name in has)
    shown = "–" if default is None else f"`{str(default).lower() if default is False else default}`"
    return f"`{name}`", of, shown, text
