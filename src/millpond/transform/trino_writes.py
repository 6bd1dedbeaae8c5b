"""What hooks and macros of a build write on Trino: to the branch of the build, or refused unsent."""

from __future__ import annotations

import re

import sqlparse
from dbt_common.exceptions import DbtRuntimeError

from millpond.lake import trino
from millpond.lake.catalog import LakeCatalog
from millpond.naming import LAYERS, is_identifier, quoted
from millpond.settings import settings
from millpond.transform.building import refuse_foreign
from millpond.transform.statements import MAINTENANCE, NAME, name_parts, without_notes

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


def on_branch(sql: str, ref: str | None, schema: str) -> str:
    """Return what to send to Trino for statements of a build on `ref`; `schema` is that of names without one.

    Without a build, None, they only read, from the ref of the settings.
    Tables that are dropped are dropped here, since Trino would delete files that other refs have too. Raises
    DbtRuntimeError for a statement that would change anything but a table of a layer that no model makes.
    """
    return ";\n".join(_one(part, ref, schema) for part in sqlparse.split(sql))


def _one(sql: str, ref: str | None, schema: str) -> str:
    bare = without_notes(sql)
    if not bare or _READS.match(bare):
        return trino.set_catalog(sql, ref or settings().ref)
    if ref is None:
        raise _refused(bare, "it is part of no build", "put it into a hook of a model, or into a model")
    if MAINTENANCE.match(bare):
        return "select 1"
    found = _WRITES.match(bare)
    if not found:
        raise _refused(
            bare,
            "Trino would run it past the audit",
            "write with create table, insert, update, merge or delete",
        )
    verb, name = " ".join(found["verb"].lower().split()), name_parts(found["name"])
    rest = bare[found.end() :]
    if verb.startswith("create schema"):
        return _schema(bare, name)
    column = name[-1:] if verb.endswith("column") else ()
    layer, table = _table(bare, name[: len(name) - len(column)], schema)
    refuse_foreign(f"{layer}.{table}")
    if verb.startswith("alter") and not _ALTERS.match(rest):
        raise _refused(
            bare, "Millpond renames and maintains the tables of the lake", "alter its columns only"
        )
    if verb.startswith("drop"):
        return _drop(f"{layer}.{table}", ref, "exists" in verb)
    where = ".".join(map(quoted, (trino.catalog_name(ref), layer, table, *column)))
    return f"{bare[: found.start('name')]}{where}{trino.set_catalog(rest, ref)}"


def _table(sql: str, name: _Parts, schema: str) -> _Parts:
    """Return layer and table of a name; raises DbtRuntimeError for one that lies elsewhere."""
    *outer, table = (part.lower() for part in name)
    database, layer = [*[trino.DATABASE, schema][: 2 - len(outer)], *outer][-2:]
    if database != trino.DATABASE:
        raise _refused(sql, f"{database} is not the lake", _NAMES)
    if not is_identifier(table) or not is_identifier(layer):
        raise _refused(sql, f"the lake has no tables of the name {'.'.join(name)}", _NAMES)
    return layer, table


def _schema(sql: str, name: _Parts) -> str:
    """Return what does nothing, for a layer, which is always there."""
    if name[-1].lower() in LAYERS and [p.lower() for p in name[:-1]] in ([], [trino.DATABASE]):
        return "select 1"
    raise _refused(sql, f"the lake has no layer {name[-1]}", f"use one of {', '.join(LAYERS)}")


def _drop(table: str, ref: str, if_exists: bool) -> str:
    lake = LakeCatalog(ref)
    if lake.table_exists(table):
        lake.drop_table(table)
    elif not if_exists:
        raise DbtRuntimeError(f"{table} was not dropped by a hook or macro: there is no such table")
    return "select 1"


def _refused(sql: str, why: str, instead: str) -> DbtRuntimeError:
    first = " ".join(sql.split())[:80]
    return DbtRuntimeError(f"not run by a hook or macro: `{first}`: {why}; {instead}")
