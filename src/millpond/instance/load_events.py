"""Dagster's events of the newest load of each day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord

from millpond.instance.prepared import execute
from millpond.instance.record import connect_to_home
from millpond.internals.dagster import deserialize_event
from millpond.naming import MAIN_REF
from millpond.partitions import Window, parse_day

_AT_ONCE = 500
_NEWEST = """
select event, (select asset_details from asset_keys where asset_key = %(asset)s::text) is not null
from unnest(%(days)s::text[]) as days (day) cross join lateral (
    select max(id) as id from event_logs
    where asset_key = %(asset)s and dagster_event_type = %(kind)s::text and partition = day
) as newest join event_logs using (id)"""


def load_event_type(ref: str) -> DagsterEventType:
    """Return the type of event that records a load: on any ref but main it is an observation."""
    return DagsterEventType.ASSET_MATERIALIZATION if ref == MAIN_REF else DagsterEventType.ASSET_OBSERVATION


def read_newest_events(
    instance: DagsterInstance, asset: dg.AssetKey, window: Window, ref: str
) -> dict[dt.date, dg.AssetMaterialization | dg.AssetObservation]:
    """Return the event of the newest load on `ref` of each day of `window` that was loaded."""
    kind, days = load_event_type(ref), [str(day) for day in window.days]
    loads = {}
    for entry in _read_newest(instance, asset, kind, days) or _fetch_newest(instance, asset, kind, days):
        event = entry.asset_materialization or entry.asset_observation
        assert event
        on = event.metadata.get("ref")
        if on and on.value == ref and event.partition:
            loads[parse_day(event.partition)] = event
    return loads


def _read_newest(
    instance: DagsterInstance, asset: dg.AssetKey, kind: DagsterEventType, days: list[str]
) -> list[dg.EventLogEntry]:
    """Return the newest event of each day, in one statement; none if Dagster is to look, as `wiped` says."""
    if (connection := connect_to_home(instance.event_log_storage)) is None:
        return []
    values = {"asset": asset.to_string(), "kind": kind.value, "days": days}
    with connection as held:
        rows = execute(held, _NEWEST, values).fetchall()
    return [] if any(wiped for _, wiped in rows) else [deserialize_event(text) for text, _ in rows]


def _fetch_newest(
    instance: DagsterInstance, asset: dg.AssetKey, kind: DagsterEventType, days: list[str]
) -> Iterator[dg.EventLogEntry]:
    newest = instance.get_latest_storage_id_by_partition(asset, kind, set(days))
    for record in _fetch_records(instance, asset, kind, newest.values()):
        yield record.event_log_entry


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
