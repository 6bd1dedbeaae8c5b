"""What agents are told about tables, assets, health, alerts and quarantine."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from millpond.errors import ConfigError, MillpondError, QueryRefused
from millpond.lake import duck
from millpond.mcp.query import open_tables, to_plain
from millpond.naming import unknown_asset_error
from millpond.observability.assets import Asset, list_assets
from millpond.observability.lake import read_tables
from millpond.observability.sensitive import hide_text
from millpond.settings import settings
from millpond.transform.manifest import load_project_or_last
from millpond.transform.sensitive import find_sensitive_columns

_loading = threading.Lock()
_DAYS: Final = 7


def list_tables(ref: str) -> list[dict[str, Any]]:
    """Return the tables of a ref: rows, time of the last change, columns that are hidden."""
    with open_tables(ref) as tables:
        hidden = tables.hidden
    figures = {each.name: each for each in read_tables(ref)}
    return [
        {
            "table": name,
            "rows": figures[name].rows if name in figures else None,
            "changed_at": to_plain(figures[name].changed) if name in figures else None,
            "hidden_columns": list(hidden[name]),
        }
        for name in sorted(hidden)
    ]


def describe_table(table: str, ref: str) -> dict[str, Any]:
    """Return the columns of a table with type and description. Raises QueryRefused if it is not there."""
    described = _find_descriptions()
    with open_tables(ref) as tables:
        if table not in tables.names:
            raise QueryRefused(
                f"there is no table {table} on {ref}",
                unharmed="everything",
                next_step="list_tables has the names",
            )
        layer, _, name = table.partition(".")
        database, schema = ("marts", "main") if layer == "marts" else (duck.DATABASE, layer)
        columns = tables.connection.execute(
            "select column_name, data_type from duckdb_columns()"
            " where database_name = ? and schema_name = ? and table_name = ? order by column_index",
            [database, schema, name],
        ).fetchall()
        description, texts = described.get(table, ("", {}))
        return {
            "table": table,
            "description": description,
            "columns": [
                {"name": column, "type": kind, "description": texts.get(column, "")}
                for column, kind in columns
            ],
            "hidden_columns": list(tables.hidden[table]),
        }


def describe_assets() -> list[dict[str, Any]]:
    """Return every asset: layer, table, owners, sources, whether it has days, and what it is made from."""
    return [
        {
            "asset": each.name,
            "layer": each.layer,
            "table": each.table,
            "daily": each.daily,
            "owners": list(each.owners),
            "sources": sorted(each.sources),
            "made_from": list(each.parents),
            "description": to_plain(each.description),
        }
        for each in load_assets()
    ]


def trace_lineage(asset: str) -> dict[str, Any]:
    """Return what an asset is made from and what is made from it. Raises ConfigError if there is none."""
    parents = {each.name: each.parents for each in load_assets()}
    if asset not in parents:
        raise unknown_asset_error(asset, list(parents))
    children: dict[str, list[str]] = {}
    for name, of in parents.items():
        for parent in of:
            children.setdefault(parent, []).append(name)
    return {
        "asset": asset,
        "upstream": sorted(_follow(asset, lambda each: parents.get(each, ()))),
        "downstream": sorted(_follow(asset, lambda each: children.get(each, ()))),
    }


def tell_health(days: int = _DAYS) -> dict[str, Any]:
    """Return the verdict, each problem with owner and next step, and the state of each asset."""
    from millpond.instance.home import open_instance
    from millpond.observability.health import read_health
    from millpond.observability.report import compose_verdict
    from millpond.partitions import latest_complete_day

    zone, assets = settings().zone, load_assets()
    last = latest_complete_day(zone)
    first = last - dt.timedelta(days=max(1, min(days, 92)) - 1)
    with open_instance() as instance:
        found = read_health(instance, assets, first, last, dt.datetime.now(dt.UTC), zone)
    told: dict[str, Any] = _plain(
        {
            "days": f"{first}...{last}",
            "verdict": compose_verdict(found, len(assets), zone),
            "problems": found.problems,
            "assets": [
                {"asset": each.asset.name, "state": each.state, "last": each.last, "rows": each.rows}
                for each in found.statuses
            ],
        }
    )
    return told


def list_alerts() -> list[dict[str, Any]]:
    """Return the open alerts, newest first: what happened, what is unharmed, the next step, who knows."""
    from millpond.alerts.outbox import list_alerts as list_lines

    sensitive = find_sensitive_columns(load_project_or_last(settings()))
    names = ("id", "kind", "severity", "title", "unharmed", "next_step", "assets", "partition")
    found = []
    for alert, channels in list_lines():
        secret = [name for name in alert.assets if name in sensitive]
        told = {name: getattr(alert, name) for name in names}
        notified = [channel for channel, state in channels.items() if state == "delivered"]
        found.append(_plain({**told, "reason": hide_text(alert.reason, secret), "notified": notified}))
    return found


def count_quarantine(ref: str) -> list[dict[str, Any]]:
    """Return how many rows are in quarantine by asset, day and rule; payloads are not served."""
    from millpond.ingestion.quarantine import count_rules
    from millpond.ingestion.reading import load_sources

    tables = [table for source in load_sources(settings()) for table in source.tables if table.has_days]
    return [_plain({**vars(each), "refused": each.refused is not None}) for each in count_rules(tables, ref)]


@lru_cache(1)
def load_assets() -> list[Asset]:
    """Return the assets of the project, as it was at the first call. Raises ConfigError."""
    with _loading:
        try:
            from millpond.definitions import defs
        except MillpondError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the project does not load: {error}",
                unharmed="everything",
                next_step="correct the project, then start this server again",
            ) from error
        return list_assets(defs, find_sensitive_columns(load_project_or_last(settings())))


def _follow(start: str, step: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = [each for each in step(left.pop()) if each not in found]
        found.update(new)
        left += new
    return found


def _find_descriptions() -> Mapping[str, tuple[str, dict[str, str]]]:
    """Return descriptions of tables and of their columns, by table."""
    project = load_project_or_last(settings())
    found: dict[str, tuple[str, dict[str, str]]] = {}
    if project is None:
        return found
    document, models = project.document(), project.models()
    nodes = {f"{each['schema']}.{each['identifier']}": each for each in document["sources"].values()}
    nodes |= {model.table: document["nodes"][name] for name, model in models.items()}
    for table, node in nodes.items():
        texts = {each["name"]: each.get("description") or "" for each in node["columns"].values()}
        found[table] = found[f"marts.{table.partition('.')[2]}"] = (node.get("description") or "", texts)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return to_plain(value)
