"""Undoing a commit of the lake: pointers move back, Dagster's record follows, marts are published again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from millpond.instance.home import open_instance
from millpond.instance.undo_record import Restored, restore_materializations
from millpond.internals.dagster import AssetGraph
from millpond.lake.history import Undo, find_days
from millpond.lake.history import undo as undo_commits
from millpond.lake.metadata import read_metadata
from millpond.lake.ref_log import Commit, TableMove
from millpond.naming import MAIN_REF
from millpond.partitions import Window, latest_complete_day
from millpond.runs.progress import RunOutcome
from millpond.runs.run import materialize
from millpond.settings import settings


@dataclass(frozen=True)
class Undone:
    """What an undo did: its own commit, the materializations it recorded, the marts it published again.

    `published` is None if none was. `emptied` are the marts whose tables were not there before the commit.
    `stale` are assets downstream that were not undone.
    """

    commit: Commit
    plan: Undo
    recorded: int
    marts: tuple[str, ...]
    published: RunOutcome | None
    emptied: tuple[str, ...]
    stale: tuple[str, ...]


def undo(plan: Undo, definitions: dg.Definitions) -> Undone:
    """Undo what `plan` names. Raises RefRefused if a table was changed meanwhile; then nothing was done.

    A publish that fails is in the outcome: the lake is undone, and the mart is as it was before. A mart whose
    table is gone loses its rows; raises PublishFailed if Postgres refuses that.
    """
    graph = definitions.resolve_asset_graph()
    tables = {_get_table(graph, key): key for key in graph.materializable_asset_keys}
    keys = {move: tables[move.table] for move in plan.moves if move.table in tables}
    commit = undo_commits(plan)
    every = find_marts(graph, keys.values())
    gone = {keys[move] for move in plan.moves if move in keys and move.old is None}
    emptied = {key: graph.get(key).parent_keys & gone for key in every if graph.get(key).parent_keys & gone}
    marts = [key for key in every if key not in emptied]
    recorded = 0
    if plan.ref == MAIN_REF:
        first = plan.commits[-1]
        restored = {key: _describe_restored(move, first.at) for move, key in keys.items()}
        restored |= {mart: restored[min(tables)] for mart, tables in emptied.items()}
        with open_instance() as instance:
            recorded = restore_materializations(instance, restored, commit=first.id)
    if emptied:
        from millpond.publish.publication import empty_marts

        empty_marts([key.path[-1] for key in emptied], ref=plan.ref)
    below = {child for key in keys.values() for child in graph.get(key).child_keys}
    stale = {key for key in below if graph.get(key).is_materializable} - {*keys.values()} - set(every)
    return Undone(
        commit,
        plan,
        recorded,
        tuple(key.to_user_string() for key in marts),
        publish_marts(marts, definitions, plan.ref) if marts else None,
        tuple(key.to_user_string() for key in emptied),
        tuple(sorted(key.to_user_string() for key in stale)),
    )


def _describe_restored(move: TableMove, at: dt.datetime) -> Restored:
    windows = find_days(move)
    now, then = (
        {s.snapshot_id: s.sequence_number or 0 for s in read_metadata(location).snapshots} if location else {}
        for location in (move.old, move.new)
    )
    days = None if windows.parts is None else windows.days
    return Restored(now, frozenset(then.keys() - now.keys()), days, at)


def find_marts(graph: AssetGraph, changed: Collection[dg.AssetKey]) -> list[dg.AssetKey]:
    """Return the marts of these tables."""
    from millpond.publish.assets import GROUP

    found = {child for one in changed for child in graph.get(one).child_keys}
    return [key for key in sorted(found) if key.path[0] == GROUP]


def find_marts_with_table(graph: AssetGraph, changed: Collection[dg.AssetKey], ref: str) -> list[dg.AssetKey]:
    """Return the marts of these tables, of those that exist on `ref`."""
    from millpond.lake.read import list_tables

    there = set(list_tables(ref))
    return [
        key
        for key in find_marts(graph, changed)
        if {_get_table(graph, parent) for parent in graph.get(key).parent_keys} <= there
    ]


def _get_table(graph: AssetGraph, key: dg.AssetKey) -> str:
    return str(graph.get(key).metadata.get("dagster/table_name", ""))


def publish_marts(marts: Collection[dg.AssetKey], definitions: dg.Definitions, ref: str) -> RunOutcome:
    """Publish these marts again, in one run."""
    selection = " or ".join(f'key:"{key.to_user_string()}"' for key in marts)
    today = Window.of_day(latest_complete_day(settings().zone))
    return materialize(selection, today, definitions=definitions, ref=ref)
