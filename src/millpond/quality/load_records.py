"""Dagster's records of the newest load of each day."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance

from millpond.instance.load_events import load_event_type, read_newest_events
from millpond.partitions import Window, parse_day
from millpond.quality.measures import Loaded

_RECENT = 20
"""Newest events that are looked through for one of a ref."""


def read_newest_loads(metadata: Mapping[dt.date, dict[str, Any]]) -> dict[dt.date, Loaded]:
    """Return the row counts that the newest load of each day reported, see `read_newest_metadata`."""
    loads: dict[dt.date, Loaded] = {}
    for day, values in metadata.items():
        counts = {name: values[name] for name in Loaded.__annotations__ if isinstance(values.get(name), int)}
        if len(counts) >= len(Loaded.__annotations__) - 1:  # rows are rarely discarded
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
    return {
        day: {name: value.value for name, value in event.metadata.items()}
        for day, event in read_newest_events(instance, asset, window, ref).items()
    }


def read_row_counts(metadata: Mapping[dt.date, dict[str, Any]]) -> dict[dt.date, int]:
    """Return how many rows each day had after its newest load, see `read_newest_metadata`."""
    found = {day: values.get("dagster/partition_row_count") for day, values in metadata.items()}
    return {day: rows for day, rows in found.items() if isinstance(rows, int)}


def read_newest_row_count(instance: DagsterInstance, asset: dg.AssetKey, ref: str) -> int | None:
    """Return how many rows a table without days had after its newest load on `ref`; None if not known."""
    kind = load_event_type(ref)
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
    return set(map(parse_day, instance.get_latest_storage_id_by_partition(asset, load_event_type(ref))))
