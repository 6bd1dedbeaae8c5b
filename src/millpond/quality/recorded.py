"""What Dagster recorded of the newest load of each day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import cast

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord

from millpond.naming import MAIN_REF
from millpond.partitions import Window, parse_day
from millpond.quality.reconciliation import Loaded

_AT_ONCE = 500


def newest_loads(
    instance: DagsterInstance, asset: dg.AssetKey, window: Window, ref: str
) -> dict[dt.date, Loaded]:
    """Return what the newest load on `ref` of each day of `window` reported; days not loaded are missing."""
    kind = _kind(ref)
    newest = instance.get_latest_storage_id_by_partition(asset, kind, {str(day) for day in window.days})
    loads: dict[dt.date, Loaded] = {}
    for record in _records(instance, asset, kind, newest.values()):
        event = record.asset_materialization or record.event_log_entry.asset_observation
        assert event
        said = {name: value.value for name, value in event.metadata.items()}
        counts = {name: said[name] for name in Loaded.__annotations__ if isinstance(said.get(name), int)}
        if said.get("ref") == ref and event.partition and len(counts) == len(Loaded.__annotations__):
            loads[parse_day(event.partition)] = Loaded(**cast("dict[str, int]", counts))
    return loads


def loaded_days(instance: DagsterInstance, asset: dg.AssetKey, ref: str) -> set[dt.date]:
    """Return every day of which a load is recorded."""
    return set(map(parse_day, instance.get_latest_storage_id_by_partition(asset, _kind(ref))))


def _kind(ref: str) -> DagsterEventType:
    """Return as what a load is recorded: on any ref but main it is an observation."""
    return DagsterEventType.ASSET_MATERIALIZATION if ref == MAIN_REF else DagsterEventType.ASSET_OBSERVATION


def _records(
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
