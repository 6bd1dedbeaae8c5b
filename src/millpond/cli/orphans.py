"""Tables and marts that no model of the dbt project makes any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from millpond.errors import ConfigError
from millpond.lake import read
from millpond.naming import marts_schema, table_name
from millpond.publish.schemas import list_marts
from millpond.publish.spec import find_declarations
from millpond.settings import settings
from millpond.transform.manifest import load_project

_MADE_BY_MODELS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class Orphaned:
    """A table of the lake without a model, and the mart of its name without one; either may be missing."""

    table: str
    mart: str
    rows: int | None = None
    changed_at: str | None = None


def find_orphaned(ref: str) -> list[Orphaned]:
    """Return the tables and marts of `ref` that no model makes; of the project as it is on disk."""
    tables = tables_without_a_model(read.list_tables(ref))
    schema = marts_schema(ref)
    declared = {node["alias"] for node in find_declarations(load_project(settings()).document())}
    left = {name for name in list_marts(ref) if name not in declared}
    found = []
    for table in tables:
        name = table.partition(".")[2]
        mart = f"{schema}.{name}" if name in left and table.startswith("gold.") else ""
        left -= {name} if mart else set()
        found.append(_describe(ref, table, mart))
    return [*found, *(Orphaned("", f"{schema}.{name}") for name in sorted(left))]


def tables_without_a_model(names: Iterable[str]) -> list[str]:
    """Return those of the tables `names` that lie in a layer of models and that no model makes, sorted."""
    return sorted({n for n in names if n.partition(".")[0] in _MADE_BY_MODELS} - list_model_tables())


def list_model_tables() -> set[str]:
    """Return the tables that the project's models, seeds and snapshots make, those that are refused too."""
    return {model.table for model in load_project(settings()).models().values()}


def find_orphan(name: str, ref: str) -> Orphaned:
    """Return the table or mart `name`. Raises ConfigError if a model makes it, or it is not there."""
    found = next((o for o in find_orphaned(ref) if name in (o.table, o.mart)), None)
    if found is None:
        model = name in list_model_tables() or name.partition(".")[0].startswith("marts")
        why = "a model of the project makes it" if model else f"it is not on ref {ref}"
        raise ConfigError(
            f"{name} cannot be retired: {why}",
            unharmed="every table and mart; nothing was changed",
            next_step="`millpond retire` lists what no model makes; remove the model from dbt/ first",
        )
    return found if name == found.table else Orphaned("", found.mart)


def refuse_target(to: str, orphan: Orphaned, ref: str) -> str:
    """Return the bare name of `to`. Raises ConfigError where `orphan` cannot be renamed so."""
    layer, name = table_name(to)
    if not orphan.table or to in read.list_tables(ref) or layer not in _MADE_BY_MODELS:
        raise ConfigError(
            f"{orphan.table or orphan.mart} cannot be renamed to {to}",
            unharmed="every table and mart; nothing was changed",
            next_step="rename a table of bronze, silver or gold to a name that no table has yet",
        )
    return name


def _describe(ref: str, table: str, mart: str) -> Orphaned:
    snapshot = read.load_table(ref, table).current_snapshot()
    if snapshot is None:
        return Orphaned(table, mart, 0)
    rows = int((snapshot.summary and snapshot.summary["total-records"]) or 0)
    changed = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC)
    return Orphaned(table, mart, rows, changed.isoformat(" ", "seconds"))
