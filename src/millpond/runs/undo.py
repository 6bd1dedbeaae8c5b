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

    `published` is None if no mart was affected. `stale` are assets downstream that were not undone.
    """

    commit: Commit
    plan: Undo
    recorded: int
    marts: tuple[str, ...]
    published: RunOutcome | None
    stale: tuple[str, ...]


def undo(plan: Undo, definitions: dg.Definitions) -> Undone:
    """Undo what `plan` names. Raises RefRefused if a table was changed meanwhile; then nothing was done.

    A publish that fails is in the outcome: the lake is undone, and the mart is as it was before.
    """
    graph = definitions.resolve_asset_graph()
    tables = {_get_table(graph, key): key for key in graph.materializable_asset_keys}
    keys = {move: tables[move.table] for move in plan.moves if move.table in tables}
    commit = undo_commits(plan)
    marts = _find_marts(graph, keys.values(), plan.ref)
    recorded = 0
    if plan.ref == MAIN_REF:
        first = plan.commits[-1]
        restored = {key: _describe_restored(move, first.at) for move, key in keys.items()}
        with open_instance() as instance:
            recorded = restore_materializations(instance, restored, commit=first.id)
    below = {child for key in keys.values() for child in graph.get(key).child_keys}
    stale = {key for key in below if graph.get(key).is_materializable} - {*keys.values()} - set(marts)
    return Undone(
        commit,
        plan,
        recorded,
        tuple(key.to_user_string() for key in marts),
        _publish(marts, definitions, plan.ref) if marts else None,
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


def _find_marts(graph: AssetGraph, changed: Collection[dg.AssetKey], ref: str) -> list[dg.AssetKey]:
    """Return the marts whose table was changed and still exists."""
    from millpond.lake.read import list_tables
    from millpond.publish.assets import GROUP

    there = set(list_tables(ref))
    found = []
    for key in sorted({child for one in changed for child in graph.get(one).child_keys}):
        parents = graph.get(key).parent_keys
        names = {_get_table(graph, parent) for parent in parents}
        if key.path[0] == GROUP and names <= there:
            found.append(key)
    return found


def _get_table(graph: AssetGraph, key: dg.AssetKey) -> str:
    return str(graph.get(key).metadata.get("dagster/table_name", ""))


def _publish(marts: Collection[dg.AssetKey], definitions: dg.Definitions, ref: str) -> RunOutcome:
    selection = " or ".join(f'key:"{key.to_user_string()}"' for key in marts)
    today = Window.of_day(latest_complete_day(settings().zone))
    return materialize(selection, today, definitions=definitions, ref=ref)
