"""Makes a plan: reads Dagster's record in a few statements, evaluates partitions, splits them into runs.

Connects only to Dagster's storage and, for a ref other than main, to the catalog."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from millpond.backfill.chunks import choose_chunk_days, find_pipelines, merge_whole_assets, split_into_chunks
from millpond.backfill.history import average_rows, estimate, read_failures, read_past_runs
from millpond.backfill.plan import Item, Plan, State
from millpond.backfill.staleness import FailedAttempt, Node, Recorded, Requested, evaluate_partitions
from millpond.instance.provenance import edges
from millpond.instance.record import REACH, RETENTION, Day, read_latest
from millpond.internals.dagster import AssetGraph
from millpond.naming import MAIN_REF, ref_name
from millpond.partitions import latest_complete_day
from millpond.resources.run import JOB
from millpond.runs.selection import (
    find_single_day_assets,
    has_other_partitions,
    leave_out_unready,
    leave_out_without_address,
    resolve_selection,
)
from millpond.settings import settings


def make_plan(
    selection: str,
    days: Sequence[dt.date] | None,
    *,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    ref: str,
    force: bool = False,
    stale_only: bool = False,
    downstream: bool = False,
    chunk_days: int | None = None,
    side_by_side: bool = False,
) -> Plan:
    """Return the state of each partition of `selection` in `days`, and the runs that materialize what is due.

    `days` None means every recorded complete day. `downstream` adds everything downstream of the selection.
    Due are partitions that are missing, failed or stale; with `force` also fresh ones, with `stale_only` only
    failed and stale ones. `chunk_days` limits the days of a run; by default, recent row counts do. With
    `side_by_side`, for parallel runs, whole assets get a run of their own.

    Raises ConfigError if the selection is empty, RefNotFound.
    """
    configured, ref = settings(), ref_name(ref)
    graph = definitions.resolve_asset_graph()
    selected = _select_assets(selection, graph, downstream=downstream)
    external, nodes = _build_external_nodes(graph, selected), _build_nodes(graph, selected)
    names = [node.name for node in nodes]
    made = read_latest(instance, [node.name for node in (*external, *nodes)], ref)
    failed = read_failures(instance, names)
    if ref != MAIN_REF:
        failed = {asset: _only_unreachable(of_days) for asset, of_days in failed.items()}
    recorded = Recorded(made, failed)
    chosen = [dg.AssetKey.from_user_string(name) for name in selected]
    ready, left_out = leave_out_unready(chosen, graph, selection, lambda _: made)
    assets = frozenset(key.to_user_string() for key in ready)
    among = (
        set(days)
        if days is not None
        else _find_recorded_days(recorded, assets, latest_complete_day(configured.zone))
    )
    requested = Requested(
        assets, sorted(day for day in among if day >= configured.start_date), force, stale_only
    )
    now = dt.datetime.now(dt.UTC)
    items = tuple(evaluate_partitions([*external, *nodes], recorded, requested, now, configured.zone))
    if chunk_days is None:
        chunk_days = choose_chunk_days(
            average_rows(instance, [node.name for node in nodes if node.daily and node.name in assets])
        )
    todo = [item for item in items if item.todo]
    if find_single_day_assets({dg.AssetKey.from_user_string(item.asset) for item in todo}, graph):
        chunk_days = 1
    apart = find_pipelines(nodes)
    chunks = list(split_into_chunks(todo, names, chunk_days, _find_parents_of_days(nodes, todo), apart))
    if chunks and not side_by_side:
        chunks = merge_whole_assets(chunks, apart)
    return Plan(
        selection,
        ref,
        _hash_code(graph, selected),
        items,
        tuple(chunks),
        estimate(chunks, read_past_runs(instance, JOB)),
        left_out,
    )


def _select_assets(selection: str, graph: AssetGraph, *, downstream: bool) -> frozenset[str]:
    keys = set(resolve_selection(selection, graph))
    if downstream:
        keys = set(dg.AssetSelection.assets(*keys).downstream().resolve(graph))
        keys = set(leave_out_without_address(keys & graph.materializable_asset_keys, graph, selection))
    return frozenset(key.to_user_string() for key in keys)


def _build_nodes(graph: AssetGraph, assets: Iterable[str]) -> list[Node]:
    """Return the assets and what is upstream of them and has days or no partitions, in topological order."""
    keys = [dg.AssetKey.from_user_string(asset) for asset in assets]
    needed = dg.AssetSelection.assets(*keys).upstream().resolve(graph)
    found = [key for key in graph.toposorted_asset_keys if key in needed]
    return [_build_node(graph, key) for key in found if not has_other_partitions(key, graph)]


def _build_external_nodes(graph: AssetGraph, assets: Iterable[str]) -> list[Node]:
    """Return the external assets that these assets, or those upstream of them, read."""
    keys = [dg.AssetKey.from_user_string(asset) for asset in assets]
    read = dg.AssetSelection.assets(*keys).upstream().upstream_source_assets().resolve(graph)
    return [_build_node(graph, key) for key in sorted(read)]


def _build_node(graph: AssetGraph, key: dg.AssetKey) -> Node:
    node, name = graph.get(key), key.to_user_string()
    reach = node.metadata.get(REACH)
    days = reach.value if isinstance(reach, dg.IntMetadataValue) else reach
    kept = node.metadata.get(RETENTION)
    kept_days = kept.value if isinstance(kept, dg.IntMetadataValue) else kept
    daily = node.is_partitioned and not has_other_partitions(key, graph)
    return Node(name, daily, node.code_version, tuple(edges(graph, name)), days, kept_days)


def _only_unreachable(failed: dict[Day, FailedAttempt]) -> dict[Day, FailedAttempt]:
    """Return the failures of the source, which apply to every ref; others on main do not."""
    return {day: failure for day, failure in failed.items() if failure.gone}


def _find_recorded_days(recorded: Recorded, assets: Iterable[str], last: dt.date) -> set[dt.date]:
    found: set[Day] = set()
    for asset in assets:
        found |= recorded.made.get(asset, {}).keys() | recorded.failed.get(asset, {}).keys()
    return {day for day in found if day is not None and day <= last}


def _find_parents_of_days(nodes: Sequence[Node], todo: Sequence[Item]) -> AbstractSet[str]:
    """Return the assets without partitions that daily assets depend on, which must run before them.

    A fresh one will not change, and a missing one without parents is built in the run of the days.
    """
    of_days = {item.asset for item in todo if item.partition is not None}
    needed: set[str] = set()
    for node in reversed(nodes):
        if node.name in of_days or node.name in needed:
            needed |= {edge.parent for edge in node.edges}
    along = {node.name for node in nodes if not node.edges}
    return {
        item.asset
        for item in todo
        if item.partition is None
        and item.state is not State.FRESH
        and item.asset in needed
        and not (item.state is State.MISSING and item.asset in along)
    }


def _hash_code(graph: AssetGraph, assets: Iterable[str]) -> str:
    versions = (
        f"{asset}={graph.get(dg.AssetKey.from_user_string(asset)).code_version}" for asset in sorted(assets)
    )
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]
