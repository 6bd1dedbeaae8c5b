"""Corrects Dagster's record after an undo: what the lake holds again is the latest materialization again."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterInstance
from sqlalchemy import select

from millpond.instance.promotion import report_materializations
from millpond.instance.record import UNDONE, UNFINISHED_TAG, connection
from millpond.internals.dagster import CODE_VERSION_TAG, DATA_VERSION_TAG
from millpond.internals.dagster_on_demand import SqlEventLogStorageTable
from millpond.naming import MAIN_REF

_AT_ONCE, _EACH = 500, 200
"""Events read in one statement, and the newest of a partition that are considered."""
_EVENTS = SqlEventLogStorageTable.c
_Partition = str | None


@dataclass(frozen=True)
class Restored:
    """The version that a table has again: its snapshots with their sequence numbers, and those undone.

    `days` are those whose rows changed, None for all that are on record. `at` is when the oldest undone
    commit was made, for materializations that name no snapshot.
    """

    snapshots: Mapping[int, int]
    undone: frozenset[int]
    days: Sequence[dt.date] | None
    at: dt.datetime


def restore_materializations(
    instance: DagsterInstance, assets: Mapping[dg.AssetKey, Restored], *, commit: str
) -> int:
    """Record for each asset and day again what was on record for the version that its table has again.

    A day that this version does not have then counts as missing, so that plans load or build it again.
    Returns how many materializations were recorded. They are told apart by their snapshots, not by time.
    """
    made: list[dg.AssetMaterialization] = []
    for asset, restored in assets.items():
        for partition, events in _read_events(instance, asset, restored.days).items():
            then = _choose(events, restored)
            made.append(_repeat(then, commit) if then else _mark_absent(asset, partition, commit))
    return report_materializations(instance, made)


def _choose(events: Sequence[dg.EventLogRecord], restored: Restored) -> dg.AssetMaterialization | None:
    """Return the materialization of the restored version: the one with the newest of its snapshots."""
    best: tuple[int, int, dg.AssetMaterialization] | None = None
    for record in events:
        event = record.asset_materialization
        if event is None or (event.tags or {}).get(DATA_VERSION_TAG) == UNDONE:
            continue
        snapshot = _get_snapshot(event)
        late = dt.datetime.fromtimestamp(record.timestamp, dt.UTC) >= restored.at
        if snapshot in restored.undone or (snapshot is None and late):
            continue
        found = (restored.snapshots.get(snapshot or 0, 0), record.storage_id, event)
        if best is None or found[:2] > best[:2]:
            best = found
    return best and best[2]


def _get_snapshot(event: dg.AssetMaterialization) -> int | None:
    found = event.metadata.get("snapshot_id")
    text = str(found.value) if found else ""
    return int(text) if text.isdigit() else None


def _read_events(
    instance: DagsterInstance, asset: dg.AssetKey, days: Sequence[dt.date] | None
) -> dict[_Partition, list[dg.EventLogRecord]]:
    """Return the newest materializations of each partition."""
    statement = (
        select(_EVENTS.partition, _EVENTS.id)
        .where(
            _EVENTS.asset_key == asset.to_string(),
            _EVENTS.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
        )
        .order_by(_EVENTS.id.desc())
    )
    if days is not None:
        statement = statement.where(_EVENTS.partition.in_([str(day) for day in days]))
    ids: dict[_Partition, list[int]] = defaultdict(list)
    with connection(instance) as conn:
        for partition, event in conn.execute(statement):
            if len(ids[partition]) < _EACH:
                ids[partition].append(event)
    found: dict[_Partition, list[dg.EventLogRecord]] = {partition: [] for partition in ids}
    for record in _fetch(instance, asset, [event for several in ids.values() for event in several]):
        found[record.partition_key].append(record)
    return found


def _fetch(instance: DagsterInstance, asset: dg.AssetKey, ids: Sequence[int]) -> Iterable[dg.EventLogRecord]:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        of_asset = dg.AssetRecordsFilter(asset, storage_ids=some)
        yield from instance.fetch_materializations(of_asset, limit=len(some)).records


def _repeat(event: dg.AssetMaterialization, commit: str) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {**event.metadata, UNDONE: commit}
    return dg.AssetMaterialization(
        event.asset_key,
        description=event.description,
        metadata=metadata,
        partition=event.partition,
        tags=dict(event.tags or {}),
    )


def _mark_absent(asset: dg.AssetKey, partition: _Partition, commit: str) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset,
        description="its rows were undone; nothing is there until it is materialized again",
        metadata={UNDONE: commit, "rows": 0, "ref": MAIN_REF},
        partition=partition,
        tags={DATA_VERSION_TAG: UNDONE, CODE_VERSION_TAG: UNDONE, UNFINISHED_TAG: "true"},
    )
