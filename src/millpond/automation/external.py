"""How an asset of another pipeline or code location stands, as Dagster's record in this instance says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    EventLogRecord,
    RunsFilter,
)

from millpond.partitions import instant


@dataclass(frozen=True)
class Standing:
    """For each day: the event that made the asset, and the failed run that came after it, if there is one."""

    made: dict[dt.date, int] = field(default_factory=dict)
    failed: dict[dt.date, str] = field(default_factory=dict)


def standing(instance: DagsterInstance, asset: str, days: Sequence[dt.date], zone: ZoneInfo) -> Standing:
    """Return how `asset` stands for `days`, the last of which is the latest that has ended in `zone`."""
    key = AssetKey.from_user_string(asset)
    records = instance.get_asset_records([key])
    if not records:
        return Standing()
    entry = records[0].asset_entry
    latest = entry.last_materialization_record
    storage, names = instance.event_log_storage, {str(day): day for day in days}
    tried = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
    if latest.partition_key is None if latest else not tried:
        return _of_the_last(instance, latest, entry.last_run_id, days[-1], zone)
    made = storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, partitions=set(names)
    )
    runs = {name: run_id for name, (run_id, _) in tried.items() if name in names}
    failed = _failed(instance, list(runs.values()))
    return Standing(
        {names[name]: event for name, event in made.items() if name in names},
        {names[name]: run_id for name, run_id in runs.items() if run_id in failed},
    )


def _of_the_last(
    instance: DagsterInstance,
    latest: EventLogRecord | None,
    run_id: str | None,
    day: dt.date,
    zone: ZoneInfo,
) -> Standing:
    """Return how an asset without partitions stands: made for `day` if that was after its end."""
    end = instant(day + dt.timedelta(days=1), zone)
    made = {day: latest.storage_id} if latest and latest.timestamp >= end.timestamp() else {}
    if run_id and (latest is None or latest.run_id != run_id) and _failed(instance, [run_id]):
        return Standing(made, {day: run_id})
    return Standing(made)


def _failed(instance: DagsterInstance, runs: list[str]) -> set[str]:
    if not runs:
        return set()
    filters = RunsFilter(run_ids=runs, statuses=[DagsterRunStatus.FAILURE])
    return {run.run_id for run in instance.get_runs(filters)}
