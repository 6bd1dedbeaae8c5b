"""Checks of a spec that need more than types: distinct names, SQL conditions that bind."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import duckdb

from millpond.ingestion.columns import SQL_TYPES, Column
from millpond.naming import literal, quoted

_ALLOWED = frozenset(
    {"COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF", "OPERATOR", "FUNCTION", "BETWEEN", "CASE", "CAST"}
)


def folded(name: str) -> str:
    """Return `name` without case, blanks and ways of composing letters; people take equal ones for one."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def check_names(columns: Mapping[str, Column]) -> None:
    """Raise ValueError if two columns, or their fields, differ only by case, blanks or composition."""
    for what, names in (
        ("columns", list(columns)),
        ("fields", [column.field or name for name, column in columns.items()]),
    ):
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(folded(name), name)
            if other != name:
                raise ValueError(
                    f"the {what} {other!r} and {name!r} differ only by case, blanks or composition"
                )
            if names.count(name) > 1:
                raise ValueError(f"two columns take the field {name!r}")


def checked_condition(key: str, name: str, condition: str, columns: Mapping[str, Column]) -> str:
    """Return `condition` if it is one SQL condition over `columns`.

    Raises ValueError if not, which names the `key` of column `name`.
    """
    fields = ", ".join(f"null::{SQL_TYPES[c.type]} as {quoted(n)}" for n, c in columns.items())
    cursor = _duckdb().cursor()  # its own: threads that share a connection take each other's results
    try:
        # As a literal: DuckDB brings in pandas to look at a parameter.
        parsed = cursor.execute(f"select json_serialize_sql({literal(f'select ({condition})')})").fetchone()
        tree = json.loads(parsed[0]) if parsed else {}
        if tree.get("error"):
            raise ValueError(tree["error_message"])
        if strange := sorted({kind for kind in _classes(_single_expression(tree)) if kind not in _ALLOWED}):
            raise ValueError(f"{strange[0].lower()} is not allowed here")
        bound = cursor.execute(f"select typeof(({condition})) from (select {fields})").fetchone()  # noqa: S608 - checked above
    except (ValueError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{key} of column {name}: {condition!r} is no condition over the columns: {reason}; "
            f"for example {key}: \"type = 'sgv'\""
        ) from None
    if not bound or bound[0] != "BOOLEAN":
        raise ValueError(f"{key} of column {name}: {condition!r} is neither true nor false")
    return condition


def _single_expression(tree: dict[str, Any]) -> dict[str, Any]:
    statements = tree["statements"]
    node = statements[0]["node"]
    if len(statements) != 1 or len(node.get("select_list", ())) != 1 or node["from_table"]["type"] != "EMPTY":
        raise ValueError("one condition was expected")
    expression: dict[str, Any] = node["select_list"][0]
    return expression


def _classes(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("class"), str):
            yield node["class"]
        for value in node.values():
            yield from _classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value)


@lru_cache(1)
def _duckdb() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={"enable_external_access": "false", "autoload_known_extensions": "false", "threads": "1"},
    )
