"""Dagster's records of the newest load of each day."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord

from millpond.naming import MAIN_REF
from millpond.partitions import Window, parse_day
from millpond.quality.measures import Loaded

_AT_ONCE = 500
_RECENT = 20
"""Newest events that are looked through for one of a ref."""


def read_newest_loads(metadata: Mapping[dt.date, dict[str, Any]]) -> dict[dt.date, Loaded]:
    """Return the row counts that the newest load of each day reported, see `read_newest_metadata`."""
    loads: dict[dt.date, Loaded] = {}
    for day, values in metadata.items():
        counts = {name: values[name] for name in Loaded.__annotations__ if isinstance(values.get(name), int)}
        if len(counts) == len(Loaded.__annotations__):
            loads[day] = Loaded(**cast("dict[str, int]", counts))
    return loads


def count_declared_nulls(metadata: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return how many values of each column became null in loads: bad ones, and codes for "no value"."""
    found: Counter[str] = Counter()
    for load in metadata:
        found.update(load.get("no_value_columns") or {})
        for reason, values in (load.get("nulled_reasons") or {}).items():
            found[reason.partition(" ")[0]] += values
    return found


def read_newest_metadata(
    instance: DagsterInstance, asset: dg.AssetKey, window: Window, ref: str
) -> dict[dt.date, dict[str, Any]]:
    """Return the metadata of the newest load on `ref` of each day of `window` that was loaded."""
    kind = _get_event_type(ref)
    newest = instance.get_latest_storage_id_by_partition(asset, kind, {str(day) for day in window.days})
    loads: dict[dt.date, dict[str, Any]] = {}
    for record in _fetch_records(instance, asset, kind, newest.values()):
        event = record.asset_materialization or record.event_log_entry.asset_observation
        assert event
        values = {name: value.value for name, value in event.metadata.items()}
        if values.get("ref") == ref and event.partition:
            loads[parse_day(event.partition)] = values
    return loads


def read_row_counts(metadata: Mapping[dt.date, dict[str, Any]]) -> dict[dt.date, int]:
    """Return how many rows each day had after its newest load, see `read_newest_metadata`."""
    found = {day: values.get("dagster/partition_row_count") for day, values in metadata.items()}
    return {day: rows for day, rows in found.items() if isinstance(rows, int)}


def read_newest_row_count(instance: DagsterInstance, asset: dg.AssetKey, ref: str) -> int | None:
    """Return how many rows a table without days had after its newest load on `ref`; None if not known."""
    kind = _get_event_type(ref)
    fetch = (
        instance.fetch_materializations
        if kind == DagsterEventType.ASSET_MATERIALIZATION
        else instance.fetch_observations
    )
    for record in fetch(AssetRecordsFilter(asset), limit=_RECENT).records:
        event = record.asset_materialization or record.event_log_entry.asset_observation
        values = {name: value.value for name, value in event.metadata.items()} if event else {}
        rows = values.get("dagster/row_count")
        if values.get("ref") == ref and isinstance(rows, int):
            return rows
    return None


def read_loaded_days(instance: DagsterInstance, asset: dg.AssetKey, ref: str) -> set[dt.date]:
    """Return every day of which a load is recorded."""
    return set(map(parse_day, instance.get_latest_storage_id_by_partition(asset, _get_event_type(ref))))


def _get_event_type(ref: str) -> DagsterEventType:
    """Return the type of event that records a load: on any ref but main it is an observation."""
    return DagsterEventType.ASSET_MATERIALIZATION if ref == MAIN_REF else DagsterEventType.ASSET_OBSERVATION


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
