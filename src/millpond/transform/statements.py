"""Which tables an SQL statement writes to, from its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import duckdb

_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
NAME = rf"(?P<name>{_PART}(?:\s*\.\s*{_PART}){{0,3}})"
"""The pattern of the name of a table or a column, which `split_name` splits."""
Write = Literal["create", "replace", "change", "drop", "drop schema"]


@dataclass(frozen=True)
class Target:
    """What a statement writes to, the parts of its name as they are written, and how.

    "create" keeps an existing table, "replace" and "drop" do not need its rows, "change" does.
    """

    write: Write
    name: tuple[str, ...]


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"\s+").replace("NAME", NAME), re.IGNORECASE)


_PATTERNS: tuple[tuple[Write, re.Pattern[str]], ...] = (
    ("replace", _compile(r"^create or replace (?:table|view) NAME")),
    ("create", _compile(r"^create (?:table|view) (?:if not exists )?NAME")),
    ("change", _compile(r"^create (?:unique )?index .*? on NAME")),
    ("change", _compile(r"\binsert (?:or \w+ )?into NAME")),
    ("change", _compile(r"\bmerge into NAME")),
    ("change", _compile(r"\bdelete from NAME")),
    ("change", _compile(r"^truncate (?:table )?NAME")),
    ("change", _compile(r"\bupdate NAME")),
    ("change", _compile(r"^copy NAME\s*(?:\([^)]*\))?\s*from\b")),
    ("change", _compile(r"^alter (?:table|view) (?:if exists )?NAME")),
    ("change", _compile(r"^comment on (?:table|view) NAME")),
    ("drop", _compile(r"^drop (?:table|view) (?:if exists )?NAME")),
    ("drop schema", _compile(r"^drop schema (?:if exists )?NAME")),
)
_TEMPORARY = _compile(r"^create (?:or replace )?temp(?:orary)?\b")
_COLUMN = _compile(r"^comment on column NAME")
_RENAMED = re.compile(rf"\brename\s+to\s+(?P<name>{_PART})\s*;?\s*$", re.IGNORECASE)
_NOTE = re.compile(r"\s*(/\*.*?\*/|--[^\n]*(\n|$))", re.DOTALL)
_MAY_WRITE = re.compile(
    r"\b(create|insert|merge|delete|truncate|update|copy|alter|comment|drop)\b", re.IGNORECASE
)
MAINTENANCE = re.compile(r"(?:analyze|vacuum)\b", re.IGNORECASE)
"""Statements that do nothing for a table of the lake."""
_READS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})


def find_targets(sql: str) -> list[Target]:
    """Return what the statements of `sql` write to, except temporary tables; none if it only reads."""
    if not _MAY_WRITE.search(sql):
        return []
    if ";" not in sql and _TEMPORARY.search(strip_comments(sql)):
        return []
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error:
        return []  # DuckDB will say what is wrong with it
    found: list[Target] = []
    for statement in statements:
        if statement.type not in _READS:
            found += _find_in_statement(strip_comments(statement.query))
    return found


def _find_in_statement(sql: str) -> list[Target]:
    if _TEMPORARY.search(sql):
        return []
    if match := _COLUMN.search(sql):
        return [Target("change", split_name(match["name"])[:-1])]
    for write, pattern in _PATTERNS:
        if match := pattern.search(sql):
            name = split_name(match["name"])
            renamed = _RENAMED.search(sql) if sql[:5].lower() == "alter" else None
            also = [Target("create", (*name[:-1], *split_name(renamed["name"])))] if renamed else []
            return [Target(write, name), *also]
    return []


def split_name(name: str) -> tuple[str, ...]:
    """Return the parts of a name that matched NAME, without their quotes."""
    return tuple(p[1:-1].replace('""', '"') if p[0] == '"' else p for p in re.findall(_PART, name))


def strip_comments(sql: str) -> str:
    """Return SQL without the comments at its beginning."""
    while match := _NOTE.match(sql):
        sql = sql[match.end() :]
    return sql.strip()
