"""Dagster's events of the newest load of each day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord

from millpond.naming import MAIN_REF
from millpond.partitions import Window, parse_day

_AT_ONCE = 500


def load_event_type(ref: str) -> DagsterEventType:
    """Return the type of event that records a load: on any ref but main it is an observation."""
    return DagsterEventType.ASSET_MATERIALIZATION if ref == MAIN_REF else DagsterEventType.ASSET_OBSERVATION


def read_newest_events(
    instance: DagsterInstance, asset: dg.AssetKey, window: Window, ref: str
) -> dict[dt.date, dg.AssetMaterialization | dg.AssetObservation]:
    """Return the event of the newest load on `ref` of each day of `window` that was loaded."""
    kind = load_event_type(ref)
    newest = instance.get_latest_storage_id_by_partition(asset, kind, {str(day) for day in window.days})
    loads = {}
    for record in _fetch_records(instance, asset, kind, newest.values()):
        event = record.asset_materialization or record.event_log_entry.asset_observation
        assert event
        on = event.metadata.get("ref")
        if on and on.value == ref and event.partition:
            loads[parse_day(event.partition)] = event
    return loads


def _fetch_records(
    instance: DagsterInstance, asset: dg.AssetKey, kind: DagsterEventType, ids: Iterable[int]
) -> Iterator[EventLogRecord]:
    wanted = sorted(ids)
    fetch = (
        instance.fetch_materializations
        if kind == DagsterEventType.ASSET_MATERIALIZATION
        else instance.fetch_observations
    )
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        yield from fetch(AssetRecordsFilter(asset, storage_ids=some), limit=len(some)).records
