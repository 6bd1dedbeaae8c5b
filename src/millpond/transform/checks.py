"""The tests of the dbt project, read from the manifest: what each reads, and which of them a build runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.naming import dagster_name
from millpond.runtime.dbt_package import NAME
from millpond.transform.models import KINDS, Models, find_upstream

_OF_KEYS = frozenset({"has_key", "unique"})
_COLUMN = re.compile(r"\w+")
_QUOTED = re.compile(r"""['"]([^'"]+)['"]""")


@dataclass(frozen=True)
class DbtTest:
    """A data test or a unit test of dbt."""

    unique_id: str
    kind: str
    """dbt's resource type."""
    name: str
    asset: str
    """The key of its asset; empty if dagster-dbt has none."""
    of: str
    """The unique_id of the model or source it belongs to."""
    reads: Mapping[str, str]
    """The tables it reads, by the unique_id of the model or source."""
    description: str
    severity: str
    key: tuple[str, ...] = ()
    """The columns that it tests as a key, if it does."""
    day: str = ""
    """The date column of the model, if it is built by day."""
    raw: tuple[str, ...] = ()
    """The raw assets upstream of its model."""


@dataclass(frozen=True)
class DueTests:
    """The tests of a build: those that are `ready`, and those that wait, with the missing tables."""

    ready: tuple[DbtTest, ...]
    waiting: Mapping[str, str]


def read_checks(
    document: Mapping[str, Any], keys: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, DbtTest]:
    """Return the tests of a manifest by unique_id.

    `keys` are those of assets by unique_id, `names` those of checks as the translator gives them.
    """
    tests = [node for node in document["nodes"].values() if node["resource_type"] == "test"]
    found = {node["unique_id"]: _read_data_test(node, document, keys, names) for node in tests}
    return found | {
        key: _read_unit_test(node, keys, document) for key, node in document["unit_tests"].items()
    }


def find_due_tests(
    checks: Iterable[DbtTest], built: Iterable[str], every: Models, present: set[str]
) -> DueTests:
    """Return the data tests of a build of the models `built`.

    They are the tests that read one of these models, and those of sources that one of them reads. A test
    that reads a table that is neither built nor among the tables `present` waits.
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
    return DueTests(tuple(ready), waiting)


def find_due_unit_tests(
    checks: Iterable[DbtTest], built: Iterable[str], passed: set[str], present: set[str]
) -> DueTests:
    """Return the unit tests of the models `built` that did not pass before with the same project.

    A test that gives rows of `this` waits until the table exists: dbt takes the columns from it.
    """
    changed = set(built)
    wanted = [c for c in checks if c.kind == "unit_test" and c.of in changed and c.unique_id not in passed]
    missing = {c.unique_id: ", ".join({*c.reads.values()} - present) for c in wanted}
    ready = tuple(c for c in wanted if not missing[c.unique_id])
    return DueTests(ready, {key: tables for key, tables in missing.items() if tables})


def describe_test(node: Mapping[str, Any]) -> str:
    """Return the description of a test; without one, what a generic test asks of its column or table."""
    if told := " ".join((node.get("description") or "").split()):
        return told
    kind = node.get("test_metadata") or {}
    given = {key: value for key, value in (kind.get("kwargs") or {}).items() if key != "model"}
    column = given.pop("column_name", None) or node.get("column_name") or ""
    match kind.get("name"), given:
        case "not_null", {}:
            return f"{column} is never null."
        case "unique", {}:
            return f"{column} is unique."
        case "accepted_values", {"values": [*values]}:
            return f"{column} is one of {', '.join(map(str, values))}."
        case "relationships", {"to": to, "field": field}:
            table = _QUOTED.findall(str(to))[-1:] or [to]
            return f"{column} is among {field} of {table[0]}."
        case None, _:
            return ""
    arguments = ", ".join(f"{key}: {value}" for key, value in given.items())
    return f"{kind['name']}{column and f' of {column}'}{arguments and f' ({arguments})'}."


def _read_data_test(
    node: Mapping[str, Any], document: Mapping[str, Any], keys: Mapping[str, str], names: Mapping[str, str]
) -> DbtTest:
    upstream = find_upstream(node, document)
    nodes = {key: document["nodes"].get(key) or document["sources"].get(key) for key in upstream}
    tables = {key: _get_table(found) for key, found in nodes.items() if found}
    attached = node.get("attached_node") or ""
    of = attached if attached in tables else next(iter(tables), "")
    kind = node.get("test_metadata") or {}
    config = node["config"]
    return DbtTest(
        unique_id=node["unique_id"],
        kind="test",
        name=names.get(node["unique_id"]) or dagster_name(node["name"]),
        asset=keys.get(of, ""),
        of=of,
        reads=tables,
        description=describe_test(node),
        severity=(config.get("severity") or "error").lower(),
        key=_get_key_columns(kind) if len(tables) == 1 else (),
        day=str((nodes.get(of) or {}).get("config", {}).get("event_time") or ""),
        raw=tuple(sorted(_find_raw_assets(upstream, document))),
    )


def _read_unit_test(node: Mapping[str, Any], keys: Mapping[str, str], document: Mapping[str, Any]) -> DbtTest:
    of = next((key for key in node["depends_on"]["nodes"] if key.startswith("model.")), "")
    of_this = any(given["input"] == "this" for given in node["given"])
    return DbtTest(
        unique_id=node["unique_id"],
        kind="unit_test",
        name=node["name"],
        asset=keys.get(of, ""),
        of=of,
        reads={of: _get_table(document["nodes"][of])} if of and of_this else {},
        description=describe_test(node),
        severity="error",
    )


def _get_table(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node.get('identifier') or node['alias']}"


def _find_raw_assets(unique_ids: Iterable[str], document: Mapping[str, Any]) -> set[str]:
    """Return the raw assets upstream of tables."""
    found: set[str] = set()
    for key in unique_ids:
        if source := document["sources"].get(key):
            found |= {f"dlt_{source['name']}"} if source["schema"] == "raw" else set()
        elif key.split(".")[0] in KINDS and key in document["nodes"]:
            found |= _find_raw_assets(find_upstream(document["nodes"][key], document), document)
    return found


def _get_key_columns(kind: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that a generic test tests as a unique key; none for expressions."""
    if kind.get("name") not in _OF_KEYS or kind.get("namespace") not in (None, NAME):
        return ()
    arguments = kind["kwargs"]
    found = [str(column) for column in arguments.get("columns") or [arguments.get("column_name")]]
    return tuple(found) if all(map(_COLUMN.fullmatch, found)) else ()
