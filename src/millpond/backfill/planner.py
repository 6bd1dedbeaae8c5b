"""Makes a plan: reads Dagster's record in a few statements, evaluates partitions, cuts the work into runs.

Opens no connection but the one to Dagster's storage; for a ref other than main also one to the catalog."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from millpond.backfill.chunks import days_a_chunk, find_pipelines, merge_whole_assets, split_into_chunks
from millpond.backfill.history import average_rows, estimate, read_failures, read_past_runs
from millpond.backfill.plan import Item, Plan, State
from millpond.backfill.staleness import FailedAttempt, Node, Recorded, Requested, evaluate_partitions
from millpond.instance.provenance import edges
from millpond.instance.record import REACH, Day, read_latest
from millpond.internals.dagster import AssetGraph
from millpond.naming import MAIN_REF, ref_name
from millpond.partitions import latest_complete_day
from millpond.resources.run import JOB
from millpond.runs.selection import find_single_day_assets, has_other_partitions, resolve_selection
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
    """Return the state of each partition of `selection` among `days`, and the runs that would do what is due.

    `days` None stands for every complete day on record. `downstream` adds all that depends on the selection.
    Due are partitions that are missing, failed or stale; with `force` also fresh ones, with `stale_only` not
    those that were never made. `chunk_days` bounds the days of a run; by default rows of late do. Runs that
    are to go on `side_by_side` leave whole assets to a run of their own.

    Raises ConfigError for a selection that names nothing, RefNotFound.
    """
    configured, ref = settings(), ref_name(ref)
    graph = definitions.resolve_asset_graph()
    assets = _assets(selection, graph, downstream=downstream)
    nodes = _nodes(graph, assets)
    names = [node.name for node in nodes]
    made, failed = read_latest(instance, names, ref), read_failures(instance, names)
    if ref != MAIN_REF:
        failed = {asset: _only_unreachable(of_days) for asset, of_days in failed.items()}
    recorded = Recorded(made, failed)
    among = (
        set(days) if days is not None else _every_day(recorded, assets, latest_complete_day(configured.zone))
    )
    requested = Requested(
        assets, sorted(day for day in among if day >= configured.start_date), force, stale_only
    )
    items = tuple(evaluate_partitions(nodes, recorded, requested, dt.datetime.now(dt.UTC), configured.zone))
    if chunk_days is None:
        chunk_days = days_a_chunk(
            average_rows(instance, [node.name for node in nodes if node.daily and node.name in assets])
        )
    todo = [item for item in items if item.todo]
    if find_single_day_assets({dg.AssetKey.from_user_string(item.asset) for item in todo}, graph):
        chunk_days = 1
    apart = find_pipelines(nodes)
    chunks = list(split_into_chunks(todo, names, chunk_days, _read_by_days(nodes, todo), apart))
    if chunks and not side_by_side:
        chunks = merge_whole_assets(chunks, apart)
    return Plan(
        selection,
        ref,
        _code(graph, assets),
        items,
        tuple(chunks),
        estimate(chunks, read_past_runs(instance, JOB)),
    )


def _assets(selection: str, graph: AssetGraph, *, downstream: bool) -> frozenset[str]:
    keys = set(resolve_selection(selection, graph))
    if downstream:
        keys = set(dg.AssetSelection.assets(*keys).downstream().resolve(graph))
        keys &= graph.materializable_asset_keys
    return frozenset(key.to_user_string() for key in keys)


def _nodes(graph: AssetGraph, assets: Iterable[str]) -> list[Node]:
    """Return the assets and all that they depend on, parents first."""
    keys = [dg.AssetKey.from_user_string(asset) for asset in assets]
    needed = dg.AssetSelection.assets(*keys).upstream().resolve(graph)
    return [_node(graph, key) for key in graph.toposorted_asset_keys if key in needed]


def _node(graph: AssetGraph, key: dg.AssetKey) -> Node:
    node, name = graph.get(key), key.to_user_string()
    reach = node.metadata.get(REACH)
    days = reach.value if isinstance(reach, dg.IntMetadataValue) else reach
    daily = node.is_partitioned and not has_other_partitions(key, graph)
    return Node(name, daily, node.code_version, tuple(edges(graph, name)), days)


def _only_unreachable(failed: dict[Day, FailedAttempt]) -> dict[Day, FailedAttempt]:
    """Return the failures that speak of the source: what else failed on main says nothing of another ref."""
    return {day: failure for day, failure in failed.items() if failure.gone}


def _every_day(recorded: Recorded, assets: Iterable[str], last: dt.date) -> set[dt.date]:
    found: set[Day] = set()
    for asset in assets:
        found |= recorded.made.get(asset, {}).keys() | recorded.failed.get(asset, {}).keys()
    return {day for day in found if day is not None and day <= last}


def _read_by_days(nodes: Sequence[Node], todo: Sequence[Item]) -> AbstractSet[str]:
    """Return the assets without partitions that days depend on, and so must come before them.

    A fresh one will not change, and one that reads nothing and is missing is built along with the days.
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


def _code(graph: AssetGraph, assets: Iterable[str]) -> str:
    versions = (
        f"{asset}={graph.get(dg.AssetKey.from_user_string(asset)).code_version}" for asset in sorted(assets)
    )
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]
