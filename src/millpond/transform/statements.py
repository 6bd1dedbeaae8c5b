"""Which tables an SQL statement of DuckDB writes to, by its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import duckdb

_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
NAME = rf"(?P<name>{_PART}(?:\s*\.\s*{_PART}){{0,3}})"
"""A pattern of the name of a table or a column, which `name_parts` takes apart."""
Write = Literal["create", "replace", "change", "drop", "drop schema"]


@dataclass(frozen=True)
class Target:
    """What a statement writes to, the parts of its name as they are written, and how.

    "create" keeps what is there, "replace" and "drop" need none of its rows, "change" needs them.
    """

    write: Write
    name: tuple[str, ...]


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"\s+").replace("NAME", NAME), re.IGNORECASE)


_PATTERNS: tuple[tuple[Write, re.Pattern[str]], ...] = (
    ("replace", _compiled(r"^create or replace (?:table|view) NAME")),
    ("create", _compiled(r"^create (?:table|view) (?:if not exists )?NAME")),
    ("change", _compiled(r"^create (?:unique )?index .*? on NAME")),
    ("change", _compiled(r"\binsert (?:or \w+ )?into NAME")),
    ("change", _compiled(r"\bmerge into NAME")),
    ("change", _compiled(r"\bdelete from NAME")),
    ("change", _compiled(r"^truncate (?:table )?NAME")),
    ("change", _compiled(r"\bupdate NAME")),
    ("change", _compiled(r"^copy NAME\s*(?:\([^)]*\))?\s*from\b")),
    ("change", _compiled(r"^alter (?:table|view) (?:if exists )?NAME")),
    ("change", _compiled(r"^comment on (?:table|view) NAME")),
    ("drop", _compiled(r"^drop (?:table|view) (?:if exists )?NAME")),
    ("drop schema", _compiled(r"^drop schema (?:if exists )?NAME")),
)
_TEMPORARY = _compiled(r"^create (?:or replace )?temp(?:orary)?\b")
_COLUMN = _compiled(r"^comment on column NAME")
_RENAMED = re.compile(rf"\brename\s+to\s+(?P<name>{_PART})\s*;?\s*$", re.IGNORECASE)
_NOTE = re.compile(r"\s*(/\*.*?\*/|--[^\n]*(\n|$))", re.DOTALL)
_MAY_WRITE = re.compile(
    r"\b(create|insert|merge|delete|truncate|update|copy|alter|comment|drop)\b", re.IGNORECASE
)
MAINTENANCE = re.compile(r"(?:analyze|vacuum)\b", re.IGNORECASE)
"""Statements for which a table of the lake has nothing to do."""
_READS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})


def targets(sql: str) -> list[Target]:
    """Return what the statements of `sql` write to, except temporary tables; none if it only reads."""
    if not _MAY_WRITE.search(sql):
        return []
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error:
        return []  # DuckDB will say what is wrong with it
    found: list[Target] = []
    for statement in statements:
        if statement.type not in _READS:
            found += _of_one(without_notes(statement.query))
    return found


def _of_one(sql: str) -> list[Target]:
    if _TEMPORARY.search(sql):
        return []
    if match := _COLUMN.search(sql):
        return [Target("change", name_parts(match["name"])[:-1])]
    for write, pattern in _PATTERNS:
        if match := pattern.search(sql):
            name = name_parts(match["name"])
            renamed = _RENAMED.search(sql) if sql[:5].lower() == "alter" else None
            also = [Target("create", (*name[:-1], *name_parts(renamed["name"])))] if renamed else []
            return [Target(write, name), *also]
    return []


def name_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name that matched NAME, without their quotes."""
    return tuple(p[1:-1].replace('""', '"') if p[0] == '"' else p for p in re.findall(_PART, name))


def without_notes(sql: str) -> str:
    """Return SQL without the comments that it begins with."""
    while match := _NOTE.match(sql):
        sql = sql[match.end() :]
    return sql.strip()
