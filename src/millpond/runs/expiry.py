"""Days that are older than the retention of their table: removed in one commit, with marts and record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from millpond.instance.home import open_instance
from millpond.instance.record import EXPIRED, RETENTION, read_versions
from millpond.instance.wipe_record import mark_removed
from millpond.internals.dagster import AssetGraph
from millpond.lake import read
from millpond.lake.removal import count_days, remove_days
from millpond.naming import MAIN_REF
from millpond.partitions import Window, contiguous
from millpond.runs.left_out import find_oldest_kept
from millpond.runs.undo import find_marts_with_table, publish_marts
from millpond.runs.wipe import list_tables_of

RUN = "retention"
_FIRST = dt.date(1000, 1, 1)


@dataclass(frozen=True)
class ExpiredDays:
    """Days of a table that its retention removes, with their rows."""

    asset: str
    table: str
    days: Window
    rows: int


def expire_tables(definitions: dg.Definitions, *, dry_run: bool = False) -> list[ExpiredDays]:
    """Remove the days of main's tables that are older than their retention, with those in quarantine.

    They are removed in one commit, which `millpond undo` takes back while its versions are there; then marts
    are published again, and the days count as expired in Dagster: no plan asks for them.
    """
    graph = definitions.resolve_asset_graph()
    due = {table: (key, days) for key in _list_declared(graph) for table, days in _find_due(graph, key)}
    found = [
        ExpiredDays(key.to_user_string(), table, window, sum(days.get(day, 0) for day in window.days))
        for table, (key, days) in due.items()
        for window in contiguous(days)
    ]
    if dry_run:
        return found
    if due:
        remove_days(MAIN_REF, {table: days for table, (_, days) in due.items()}, run_id=RUN)
        if marts := find_marts_with_table(graph, {key for key, _ in due.values()}, MAIN_REF):
            publish_marts(marts, definitions, MAIN_REF)
    _mark(graph)
    return found


def _list_declared(graph: AssetGraph) -> list[dg.AssetKey]:
    return [key for key in sorted(graph.materializable_asset_keys) if RETENTION in graph.get(key).metadata]


def _find_due(graph: AssetGraph, key: dg.AssetKey) -> Iterator[tuple[str, dict[dt.date, int]]]:
    for table in list_tables_of(graph, key):
        if read.exists(MAIN_REF, table):
            days = count_days(MAIN_REF, table, Window(_FIRST, find_oldest_kept(graph, key) or _FIRST))
            if days:
                yield table, days


def _mark(graph: AssetGraph) -> None:
    """Record as expired what is on record of days that are not kept; again where that was interrupted."""
    keys = {key.to_user_string(): key for key in _list_declared(graph)}
    if not keys:
        return
    with open_instance() as instance:
        versions = read_versions(instance, list(keys), MAIN_REF)
        gone = {
            name: [
                day
                for day, version in versions[name].items()
                if day and day < (find_oldest_kept(graph, key) or _FIRST) and version != EXPIRED
            ]
            for name, key in keys.items()
        }
        if any(gone.values()):
            mark_removed(instance, gone, EXPIRED)
