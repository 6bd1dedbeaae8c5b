"""Days that a source no longer serves: recorded as skipped, not failed, and left out downstream."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterInstance
from sqlalchemy import func, select

from millpond.instance.prepared import execute
from millpond.instance.provenance import edges
from millpond.instance.record import NO_ADDRESS, connect_to_home, connection, database_key, read_versions
from millpond.internals.dagster import (
    AssetFailedToMaterializeData,
    AssetGraph,
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
    DagsterEventBatchMetadata,
)
from millpond.internals.dagster_on_demand import SqlEventLogStorageTable
from millpond.partitions import Window, contiguous, parse_day

_EVENTS = SqlEventLogStorageTable.c
_SKIPPED = """
select asset_key, partition from event_logs as skipped
where asset_key = any(%(assets)s::text[]) and dagster_event_type = 'ASSET_FAILED_TO_MATERIALIZE'
and (%(first)s::text is null and partition is not null or partition between %(first)s and %(last)s::text)
group by asset_key, partition having not exists (
    select from event_logs as made
    where made.asset_key = skipped.asset_key and made.dagster_event_type = 'ASSET_MATERIALIZATION'
    and made.partition = skipped.partition and made.id > max(skipped.id)
)"""


def skip_days(context: dg.AssetExecutionContext, reasons: Mapping[dt.date, str]) -> Iterator[dg.DagsterEvent]:
    """Yield an event for each day that the asset's source no longer serves, with the reason.

    It is Dagster's own event for an asset that was not materialized without a failure, of type SKIPPED.
    """
    for reason in dict.fromkeys(reasons.values()):  # the pages show no events of this type
        about = contiguous(day for day, one in reasons.items() if one == reason)
        context.log.info("%s skipped: %s", ", ".join(map(str, about)), reason)
    step = context.op_execution_context.get_step_execution_context()
    batch = uuid.uuid4().hex
    for number, (day, reason) in enumerate(sorted(reasons.items()), 1):
        skipped = AssetMaterializationFailure(
            asset_key=context.asset_key,
            failure_type=AssetMaterializationFailureType.SKIPPED,
            reason=AssetMaterializationFailureReason.UNKNOWN,
            description=reason,
            partition=str(day),
        )
        yield dg.DagsterEvent.from_step(
            DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
            step,
            AssetFailedToMaterializeData(skipped),
            f"{day} skipped: {reason}",
            DagsterEventBatchMetadata(batch, number == len(reasons)),
        )


def find_skipped_days(
    instance: DagsterInstance, assets: Collection[str], window: Window | None = None
) -> dict[str, set[dt.date]]:
    """Return the days of `assets`, within `window` if given, that were skipped since last materialized."""
    if not assets:
        return {}
    names = {database_key(asset): asset for asset in assets}
    first, last = (str(window.start), str(window.last)) if window else (None, None)
    found: defaultdict[str, set[dt.date]] = defaultdict(set)
    if home := connect_to_home(instance.event_log_storage):
        with home as conn:
            rows = execute(conn, _SKIPPED, {"assets": [*names], "first": first, "last": last}).fetchall()
    else:
        rows = _find_elsewhere(instance, names, first, last)
    for key, partition in rows:
        found[names[key]].add(parse_day(partition))
    return dict(found)


def _find_elsewhere(
    instance: DagsterInstance, keys: Collection[str], first: str | None, last: str | None
) -> Sequence[Any]:
    """Return what `_SKIPPED` does, of a storage that is not a home's."""
    kind = _EVENTS.dagster_event_type
    skipped = func.max(_EVENTS.id).filter(kind == DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value)
    made = func.max(_EVENTS.id).filter(kind == DagsterEventType.ASSET_MATERIALIZATION.value)
    statement = (
        select(_EVENTS.asset_key, _EVENTS.partition)
        .where(_EVENTS.asset_key.in_(keys), _EVENTS.partition.is_not(None))
        .group_by(_EVENTS.asset_key, _EVENTS.partition)
        .having(skipped > func.coalesce(made, 0))
    )
    if first:
        statement = statement.where(_EVENTS.partition.between(first, last))
    with connection(instance) as conn:
        return list(conn.execute(statement).fetchall())


@dataclass(frozen=True)
class Unreachable:
    """What cannot be materialized: `days` by asset, and `assets` that have no data and cannot get any.

    Days and assets that were materialized before are not included, as they can be rebuilt.
    """

    days: Mapping[str, frozenset[dt.date]] = field(default_factory=dict)
    assets: frozenset[str] = frozenset()

    def of(self, asset: str) -> frozenset[dt.date]:
        """Return the days of an asset that cannot be materialized."""
        return self.days.get(asset, frozenset())


def find_unreachable(
    instance: DagsterInstance, graph: AssetGraph, assets: Collection[str], ref: str, window: Window | None
) -> Unreachable:
    """Return what of `assets` cannot be materialized on `ref`, as their sources no longer serve it.

    That is a day if it is missing in all parents and unreachable there, and an asset without partitions if a
    parent was never materialized and cannot be. So is what was never materialized and reads a source without
    an address.
    """
    keys = dg.AssetSelection.assets(*map(dg.AssetKey.from_user_string, assets)).upstream().resolve(graph)
    ordered = [key for key in graph.toposorted_asset_keys if key in keys]
    names = [key.to_user_string() for key in ordered]
    roots = [key.to_user_string() for key in ordered if not graph.get(key).parent_keys]
    skipped = find_skipped_days(instance, roots, window)
    silent = {key for key in ordered if NO_ADDRESS in graph.get(key).metadata}
    if not (skipped or silent):
        return Unreachable()
    made, days, lost = read_versions(instance, names, ref), dict[str, frozenset[dt.date]](), set[str]()
    for key, name in zip(ordered, names, strict=True):
        found: set[dt.date] = set(skipped.get(name, ()))
        reads = edges(graph, name)
        if by_day := [days.get(edge.parent, frozenset()) for edge in reads if edge.look_back is not None]:
            found = set(frozenset.intersection(*by_day))
        without = any(edge.parent in lost for edge in reads)
        if without and graph.get(key).is_partitioned:
            found = set(window.days) if window else set().union(*skipped.values())
        days[name] = frozenset(found - made[name].keys())
        if key in silent and not made[name]:
            days[name] = frozenset(window.days if window and graph.get(key).is_partitioned else ())
            lost.add(name)
        elif not made[name] and (without or (not reads and days[name])):
            lost.add(name)
    return Unreachable(days, frozenset(lost))
