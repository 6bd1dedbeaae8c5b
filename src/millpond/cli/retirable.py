"""Tables and marts whose model no longer exists, which `millpond retire` lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from millpond.errors import ConfigError
from millpond.naming import marts_schema, table_name
from millpond.settings import settings
from millpond.transform.manifest import load_project

_MODEL_LAYERS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class Retirable:
    """A table of the lake without a model, and its mart; either may be empty."""

    table: str
    mart: str
    rows: int | None = None
    changed_at: str | None = None


def list_retirable(ref: str) -> list[Retirable]:
    """Return the tables and marts of `ref` without a model in the project as it is now."""
    from millpond.lake import read
    from millpond.publish.schemas import list_marts
    from millpond.publish.spec import find_declarations

    tables = list_tables_without_model(read.list_tables(ref))
    schema = marts_schema(ref)
    declared = {node["alias"] for node in find_declarations(load_project(settings()).document())}
    left = {name for name in list_marts(ref) if name not in declared}
    found = []
    for table in tables:
        name = table.partition(".")[2]
        mart = f"{schema}.{name}" if name in left and table.startswith("gold.") else ""
        left -= {name} if mart else set()
        found.append(_describe(ref, table, mart))
    return [*found, *(Retirable("", f"{schema}.{name}") for name in sorted(left))]


def list_tables_without_model(names: Iterable[str]) -> list[str]:
    """Return those of the tables `names`, sorted, that are in a layer of models but that nothing makes.

    That is neither a model nor an asset of the project's own.
    """
    left = {n for n in names if n.partition(".")[0] in _MODEL_LAYERS} - list_model_tables()
    return sorted(left - _list_own_tables()) if left else []


def _list_own_tables() -> set[str]:
    """Return the tables that the project's own assets name as theirs."""
    from millpond.own_definitions import load_own  # with Dagster, where a table has no model

    own = load_own(settings())
    specs = own.resolve_all_asset_specs() if own else ()
    return {str(spec.metadata.get("dagster/table_name")) for spec in specs}


def list_model_tables() -> set[str]:
    """Return the tables of the project's models, seeds and snapshots, also of those that are left out."""
    return {model.table for model in load_project(settings()).models().values()}


def get_retirable(name: str, ref: str) -> Retirable:
    """Return the table or mart `name`. Raises ConfigError if it has a model, or does not exist."""
    found = next((o for o in list_retirable(ref) if name in (o.table, o.mart)), None)
    if found is None:
        model = name in list_model_tables() or name.partition(".")[0].startswith("marts")
        why = "a model of the project builds it" if model else f"it is not on ref {ref}"
        raise ConfigError(
            f"{name} cannot be retired: {why}",
            unharmed="every table and mart; nothing was changed",
            next_step="`millpond retire` lists tables without a model; remove the model from dbt/ first",
        )
    return found if name == found.table else Retirable("", found.mart)


def check_new_name(to: str, found: Retirable, ref: str) -> str:
    """Return the name of `to` without its layer. Raises ConfigError if `found` cannot be renamed to it."""
    from millpond.lake import read

    layer, name = table_name(to)
    if not found.table or to in read.list_tables(ref) or layer not in _MODEL_LAYERS:
        raise ConfigError(
            f"{found.table or found.mart} cannot be renamed to {to}",
            unharmed="every table and mart; nothing was changed",
            next_step="rename a table of bronze, silver or gold to a name that no table has yet",
        )
    return name


def _describe(ref: str, table: str, mart: str) -> Retirable:
    from millpond.lake import read

    snapshot = read.load_table(ref, table).current_snapshot()
    if snapshot is None:
        return Retirable(table, mart, 0)
    rows = int((snapshot.summary and snapshot.summary["total-records"]) or 0)
    changed = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC)
    return Retirable(table, mart, rows, changed.isoformat(" ", "seconds"))
