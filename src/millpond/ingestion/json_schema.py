"""The JSON Schema of a source, by which editors complete and check the files in `sources/`."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from millpond.ingestion.columns import COLUMN_TYPES
from millpond.ingestion.key_texts import OPTION_TEXTS, PAGINATOR_TEXTS, describe_key
from millpond.ingestion.rest.paginator_spec import PAGINATORS
from millpond.ingestion.spec import SourceSpec
from millpond.project.config import read_project

FILE: Final = "source.schema.json"
"""Name of the schema in a project's folder of sources."""
_DURATION: Final = {"type": "string", "pattern": r"^\d+[smhd]$"}


def source_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a YAML file in `sources/`.

    It takes the short forms too: a column by its type alone, and a list of codes for `no_value`. What parts
    have to do with each other is not in it; `millpond sources check` says that.
    """
    schema = SourceSpec.model_json_schema()
    parts: dict[str, Any] = schema["$defs"]
    _refine(schema, SourceSpec)
    for model in _parts_of(SourceSpec):
        if model.__name__ in parts:
            _refine(parts[model.__name__], model)
    parts["Column"] = {"anyOf": [_column_type(), parts["Column"]]}
    parts["Column"]["anyOf"][1]["properties"]["type"] |= _column_type()
    codes = parts["Column"]["anyOf"][1]["properties"]["no_value"]
    codes["anyOf"] = [*codes["anyOf"], {"type": "array", "items": {"type": ["string", "number"]}}]
    parts["Paginator"] = {"oneOf": [_paginator(kind) for kind in PAGINATORS]}
    parts["SourceTable"]["properties"].pop("resource")  # which only a Python file can hold
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def write_source_schema(project: Path) -> Path:
    """Write the schema into the first folder of sources of `project`; returns the file's path below it."""
    file = Path(read_project(project).sources[0]) / FILE
    (project / file).write_text(json.dumps(source_schema(), indent=1, ensure_ascii=False) + "\n")
    return file


def _refine(schema: dict[str, Any], model: type[BaseModel]) -> None:
    for name, declared in schema.get("properties", {}).items():
        if text := describe_key(model, name):
            declared["description"] = text
        if examples := declared.get("examples"):
            declared["examples"] = [value for text in examples if (value := _value(text, name)) is not None]
        declared.pop("title", None)
        if declared.get("format") == "duration":
            declared.pop("format")
            declared |= _DURATION
            declared["default"] = show_duration(model.model_fields[name].default)
            if not isinstance(model.model_fields[name].default, dt.timedelta):
                declared.pop("default")


def show_duration(span: Any) -> str:
    """Return a span of time as a source writes it: 30s, 5m, 2h; blank for anything else."""
    if not isinstance(span, dt.timedelta):
        return ""
    seconds = int(span.total_seconds())
    return next(f"{seconds // n}{unit}" for unit, n in (("h", 3600), ("m", 60), ("s", 1)) if not seconds % n)


def _value(example: str, name: str) -> Any:
    try:
        found = yaml.safe_load(example)
    except yaml.YAMLError:
        return None
    return found.get(name) if isinstance(found, dict) else None


def _column_type() -> dict[str, Any]:
    return {"anyOf": [{"enum": list(COLUMN_TYPES)}, {"type": "string", "pattern": r"^decimal\(\d+, ?\d+\)$"}]}


def _paginator(kind: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "type": {"const": kind, "description": f"the next page {PAGINATOR_TEXTS[kind]}"}
    }
    for option in sorted(PAGINATORS[kind]):
        default, text = OPTION_TEXTS[option]
        properties[option] = {"description": text} | ({} if default is None else {"default": default})
    return {
        "type": "object",
        "properties": properties,
        "required": ["type"],
        "additionalProperties": False,
    }


def _parts_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation.__name__ not in found:
                found[annotation.__name__] = annotation
                for field in annotation.model_fields.values():
                    visit(field.annotation)
            return
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    visit(model)
    return list(found.values())
