"""The tests of the dbt project, read from the manifest: what each reads, and which of them a build runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.naming import dagster_name
from millpond.runtime.dbt_package import NAME
from millpond.transform.models import KINDS, Models, upstream_tables

_OF_KEYS = frozenset({"has_key", "unique"})
_COLUMN = re.compile(r"\w+")


@dataclass(frozen=True)
class Check:
    """A data test or a unit test; dbt runs it and says how it ended."""

    unique_id: str
    kind: str
    """dbt's type of resource."""
    name: str
    asset: str
    """The key of the asset it belongs to; empty where dagster-dbt knows none."""
    of: str
    """The unique_id of the model or source it belongs to."""
    reads: Mapping[str, str]
    """The tables it reads, by the unique_id of the model or source."""
    description: str
    severity: str
    key: tuple[str, ...] = ()
    """The columns that it takes for a key, if it does."""
    day: str = ""
    """The date column of the model, if it is built by day."""
    raw: tuple[str, ...] = ()
    """The raw assets that its model is made of."""


@dataclass(frozen=True)
class Due:
    """What a build runs: `ready`, and what it cannot run, each with the tables that are missing."""

    ready: tuple[Check, ...]
    waiting: Mapping[str, str]


def read_checks(document: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Check]:
    """Return the tests of a manifest by unique_id; `keys` are those of assets by unique_id."""
    tests = [node for node in document["nodes"].values() if node["resource_type"] == "test"]
    found = {node["unique_id"]: _data_test(node, document, keys) for node in tests}
    return found | {key: _unit_test(node, keys, document) for key, node in document["unit_tests"].items()}


def due(checks: Iterable[Check], built: Iterable[str], every: Models, present: set[str]) -> Due:
    """Return the data tests of a build of the models `built`.

    They are those which read one of them, and those of sources which one of them reads. A test that reads a
    table which is neither among the tables `present` nor built waits.
    """
    changed = set(built)
    sources = {table for key in changed for table in every[key].sources}
    ready, waiting = [], {}
    for check in checks:
        if check.kind != "test" or not check.reads:
            continue
        only_sources = all(key.startswith("source.") for key in check.reads)
        if not (
            changed.intersection(check.reads) or (only_sources and sources.intersection(check.reads.values()))
        ):
            continue
        missing = [t for key, t in check.reads.items() if key not in changed and t not in present]
        if missing:
            waiting[check.unique_id] = ", ".join(missing)
        else:
            ready.append(check)
    return Due(tuple(ready), waiting)


def due_unit_tests(checks: Iterable[Check], built: Iterable[str], passed: set[str], present: set[str]) -> Due:
    """Return the unit tests of the models `built` that did not pass before with the same project.

    One that gives rows of `this` waits until there is the table: dbt takes the columns from it.
    """
    changed = set(built)
    wanted = [c for c in checks if c.kind == "unit_test" and c.of in changed and c.unique_id not in passed]
    missing = {c.unique_id: ", ".join({*c.reads.values()} - present) for c in wanted}
    ready = tuple(c for c in wanted if not missing[c.unique_id])
    return Due(ready, {key: tables for key, tables in missing.items() if tables})


def _data_test(node: Mapping[str, Any], document: Mapping[str, Any], keys: Mapping[str, str]) -> Check:
    upstream = upstream_tables(node, document)
    nodes = {key: document["nodes"].get(key) or document["sources"].get(key) for key in upstream}
    tables = {key: _table(found) for key, found in nodes.items() if found}
    attached = node.get("attached_node") or ""
    of = attached if attached in tables else next(iter(tables), "")
    kind = node.get("test_metadata") or {}
    config = node["config"]
    return Check(
        unique_id=node["unique_id"],
        kind="test",
        name=dagster_name(node["name"]),
        asset=keys.get(of, ""),
        of=of,
        reads=tables,
        description=_description(node),
        severity=(config.get("severity") or "error").lower(),
        key=_key(kind) if len(tables) == 1 else (),
        day=str((nodes.get(of) or {}).get("config", {}).get("event_time") or ""),
        raw=tuple(sorted(_raw(upstream, document))),
    )


def _unit_test(node: Mapping[str, Any], keys: Mapping[str, str], document: Mapping[str, Any]) -> Check:
    of = next((key for key in node["depends_on"]["nodes"] if key.startswith("model.")), "")
    of_this = any(given["input"] == "this" for given in node["given"])
    return Check(
        unique_id=node["unique_id"],
        kind="unit_test",
        name=node["name"],
        asset=keys.get(of, ""),
        of=of,
        reads={of: _table(document["nodes"][of])} if of and of_this else {},
        description=_description(node),
        severity="error",
    )


def _description(node: Mapping[str, Any]) -> str:
    return " ".join((node.get("description") or "").split())


def _table(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node.get('identifier') or node['alias']}"


def _raw(unique_ids: Iterable[str], document: Mapping[str, Any]) -> set[str]:
    """Return the raw assets that tables are made of."""
    found: set[str] = set()
    for key in unique_ids:
        if source := document["sources"].get(key):
            found |= {f"dlt_{source['name']}"} if source["schema"] == "raw" else set()
        elif key.split(".")[0] in KINDS and key in document["nodes"]:
            found |= _raw(upstream_tables(document["nodes"][key], document), document)
    return found


def _key(kind: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns by which a generic test finds keys that are twice there; none for expressions."""
    if kind.get("name") not in _OF_KEYS or kind.get("namespace") not in (None, NAME):
        return ()
    arguments = kind["kwargs"]
    found = [str(column) for column in arguments.get("columns") or [arguments.get("column_name")]]
    return tuple(found) if all(map(_COLUMN.fullmatch, found)) else ()
