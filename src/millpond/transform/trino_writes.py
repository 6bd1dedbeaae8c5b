"""Statements of hooks and macros on Trino: rewritten for the branch of the build, or refused."""

from __future__ import annotations

import re

import sqlparse
from dbt_common.exceptions import DbtRuntimeError

from millpond.lake import trino
from millpond.lake.catalog import LakeCatalog
from millpond.naming import LAYERS, is_identifier, quoted
from millpond.settings import settings
from millpond.transform.build import refuse_foreign_table
from millpond.transform.statements import MAINTENANCE, NAME, split_name, strip_comments

_READS = re.compile(
    r"(?:select|with|values|table|show|describe|desc|explain(?!\s+analyze)|set\s+session|reset\s+session)\b|\(",
    re.IGNORECASE,
)
_WRITES = re.compile(
    r"(?P<verb>create\s+or\s+replace\s+table|create\s+table(?:\s+if\s+not\s+exists)?|insert\s+into|delete\s+from"
    r"|update|merge\s+into|truncate\s+table|alter\s+table(?:\s+if\s+exists)?|comment\s+on\s+(?:table|column)"
    rf"|drop\s+table(?:\s+if\s+exists)?|create\s+schema\s+if\s+not\s+exists)\s+{NAME}",
    re.IGNORECASE,
)
_ALTERS = re.compile(r"\s+(?:(?:add|drop|rename|alter)\s+column|set\s+properties)\b", re.IGNORECASE)
_NAMES = "name the table as lake.<layer>.<table>"
_Parts = tuple[str, ...]


def rewrite_for_branch(sql: str, ref: str | None, schema: str) -> str:
    """Return statements of a build on `ref` as Trino must run them; `schema` is that of names without one.

    Without a build (`ref` None) they may only read, from the ref of the settings. Tables are dropped here,
    since Trino would delete files that other refs share. Raises DbtRuntimeError for a statement that changes
    anything but a table of a layer that belongs to no model.
    """
    return ";\n".join(_rewrite_statement(part, ref, schema) for part in sqlparse.split(sql))


def _rewrite_statement(sql: str, ref: str | None, schema: str) -> str:
    bare = strip_comments(sql)
    if not bare or _READS.match(bare):
        return trino.set_catalog(sql, ref or settings().ref)
    if ref is None:
        raise _refusal_error(
            bare, "it is not part of a build", "put it into a hook of a model, or into a model"
        )
    if MAINTENANCE.match(bare):
        return "select 1"
    found = _WRITES.match(bare)
    if not found:
        raise _refusal_error(
            bare,
            "Trino would run it outside of the audit",
            "write with create table, insert, update, merge or delete",
        )
    verb, name = " ".join(found["verb"].lower().split()), split_name(found["name"])
    rest = bare[found.end() :]
    if verb.startswith("create schema"):
        return _check_schema(bare, name)
    column = name[-1:] if verb.endswith("column") else ()
    layer, table = _find_table(bare, name[: len(name) - len(column)], schema)
    refuse_foreign_table(f"{layer}.{table}")
    if verb.startswith("alter") and not _ALTERS.match(rest):
        raise _refusal_error(
            bare, "Millpond renames and maintains the tables of the lake", "alter its columns only"
        )
    if verb.startswith("drop"):
        return _drop_table(f"{layer}.{table}", ref, "exists" in verb)
    where = ".".join(map(quoted, (trino.catalog_name(ref), layer, table, *column)))
    return f"{bare[: found.start('name')]}{where}{trino.set_catalog(rest, ref)}"


def _find_table(sql: str, name: _Parts, schema: str) -> _Parts:
    """Return layer and table of a name; raises DbtRuntimeError for a table outside the lake."""
    *outer, table = (part.lower() for part in name)
    database, layer = [*[trino.DATABASE, schema][: 2 - len(outer)], *outer][-2:]
    if database != trino.DATABASE:
        raise _refusal_error(sql, f"{database} is not the lake", _NAMES)
    if not is_identifier(table) or not is_identifier(layer):
        raise _refusal_error(sql, f"the lake has no tables of the name {'.'.join(name)}", _NAMES)
    return layer, table


def _check_schema(sql: str, name: _Parts) -> str:
    """Return a statement that does nothing, for a layer, which always exists."""
    if name[-1].lower() in LAYERS and [p.lower() for p in name[:-1]] in ([], [trino.DATABASE]):
        return "select 1"
    raise _refusal_error(sql, f"the lake has no layer {name[-1]}", f"use one of {', '.join(LAYERS)}")


def _drop_table(table: str, ref: str, if_exists: bool) -> str:
    lake = LakeCatalog(ref)
    if lake.table_exists(table):
        lake.drop_table(table)
    elif not if_exists:
        raise DbtRuntimeError(f"{table} was not dropped by a hook or macro: there is no such table")
    return "select 1"


def _refusal_error(sql: str, why: str, instead: str) -> DbtRuntimeError:
    first = " ".join(sql.split())[:80]
    return DbtRuntimeError(f"not run by a hook or macro: `{first}`: {why}; {instead}")
