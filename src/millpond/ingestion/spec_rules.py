"""Checks of a spec that need more than types: distinct names, SQL conditions, cron expressions."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import duckdb

from millpond.ingestion.columns import Column, is_numeric, sql_type
from millpond.naming import literal, quoted

_EXAMPLE = 'for example cron: "0 * * * *"'
_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 7, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)
_NEVER: Final = {(day, month) for day in ("30", "31") for month in ("2", "feb")} | {
    ("31", month) for month in ("4", "6", "9", "11", "apr", "jun", "sep", "nov")
}
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def check_cron(text: str) -> str:
    """Return `text` if it is a cron expression; raises ValueError, which names what is wrong in it."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"has {len(fields)} fields, cron has five (minute, hour, day, month, weekday); {_EXAMPLE}"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _fits(part, low, high, names):
                raise ValueError(f"{part!r} is no {name} ({low} to {high}, *, a-b, */n); {_EXAMPLE}")
    if fields[4] == "*" and (fields[2], fields[3].lower()) in _NEVER:
        raise ValueError(f"names a day that no year has; {_EXAMPLE}")
    return text


def _fits(part: str, low: int, high: int, names: Sequence[str]) -> bool:
    found = _PART.fullmatch(part.lower())
    if not found or (found[4] is not None and not 1 <= int(found[4]) <= high):
        return False
    if found[1] == "*":
        return True
    if found[4] is not None and found[3] is None:
        return False
    ends = [_number(text, low, names) for text in (found[2], found[3] or found[2])]
    return all(low <= end <= high for end in ends) and ends[0] <= ends[1]


def _number(text: str, low: int, names: Sequence[str]) -> int:
    if text in names:
        return list(names).index(text) + low
    return int(text) if text.isdecimal() else -1


_ALLOWED = frozenset(
    {"COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF", "OPERATOR", "FUNCTION", "BETWEEN", "CASE", "CAST"}
)


def fold_name(name: str) -> str:
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
            other = seen.setdefault(fold_name(name), name)
            if other != name:
                raise ValueError(
                    f"the {what} {other!r} and {name!r} differ only by case, blanks or composition"
                )
            if names.count(name) > 1:
                raise ValueError(f"two columns take the field {name!r}")


def check_unit(unit: str, kind: str, key: str = "event_time") -> None:
    """Raise ValueError if times of `unit` cannot be in a column of type `kind`."""
    if unit in {"ms", "s"}:
        fitting, fits = "int or number", is_numeric(kind)
    else:
        named = {"string", "timestamp", "date"} if unit == "date" else {"string", "timestamp"}
        fitting, fits = " or ".join(sorted(named, reverse=True)), kind in named
    if not fits:
        raise ValueError(f"{key} of unit {unit} needs a column of type {fitting}, not {kind}")


def check_condition(key: str, name: str, condition: str, columns: Mapping[str, Column]) -> str:
    """Return `condition` if it is one SQL condition over `columns`.

    Raises ValueError if not, which names the `key` of column `name`.
    """
    fields = ", ".join(f"null::{sql_type(c.type)} as {quoted(n)}" for n, c in columns.items())
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
