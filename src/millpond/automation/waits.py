"""Reads waits.yaml, the external assets to wait for, and their status from Dagster's storage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    EventLogRecord,
    RunsFilter,
)
from pydantic import Field, ValidationError, model_validator

from millpond.errors import ConfigError
from millpond.ingestion.part import Part
from millpond.ingestion.window import Duration, Identifier
from millpond.partitions import instant
from millpond.settings import Settings
from millpond.yaml_text import load_yaml

_EXAMPLE = '{ name: orders, asset: shop/orders, then: "fct_orders*", timeout: 6h }'


class Wait(Part):
    """An external asset, by its key, and the selection that is launched for its day."""

    name: Identifier
    asset: str = Field(min_length=1)
    then: str = Field(min_length=1)
    timeout: Duration
    days: int = Field(3, gt=0, le=31)

    @property
    def sensor(self) -> str:
        """Name of the sensor that waits."""
        return f"wait_for_{self.name}"

    @property
    def hours(self) -> float:
        """The timeout in hours."""
        return self.timeout.total_seconds() / 3600

    def due(self, end_of_day: dt.datetime) -> dt.datetime:
        """Return the time by which the asset of a day is due."""
        return end_of_day + self.timeout


class Waits(Part):
    """The content of waits.yaml; the comments of the file describe each key."""

    waits: tuple[Wait, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _names_differ(self) -> Waits:
        names = [wait.name for wait in self.waits]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two waits have the name {name}; give each its own")
        return self


def read_waits(settings: Settings) -> tuple[Wait, ...]:
    """Return the entries of the project's waits.yaml, if there is one; raises ConfigError."""
    path: Path = settings.code / "waits.yaml"
    if not path.exists():
        return ()
    try:
        return Waits.model_validate(load_yaml(path.read_text()) or {}).waits
    except yaml.YAMLError as error:
        raise _invalid_file_error(f"is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the top"
        raise _invalid_file_error(f"at {place}: {problem['msg'].removeprefix('Value error, ')}") from None


def _invalid_file_error(reason: str) -> ConfigError:
    return ConfigError(f"waits.yaml: {reason}", next_step=f"write for example waits: [{_EXAMPLE}]")


@dataclass(frozen=True)
class ExternalStatus:
    """By day: the id of the latest materialization, and the failed run after it, if any."""

    made: dict[dt.date, int] = field(default_factory=dict)
    failed: dict[dt.date, str] = field(default_factory=dict)


def read_status(
    instance: DagsterInstance, asset: str, days: Sequence[dt.date], zone: ZoneInfo
) -> ExternalStatus:
    """Return the status of `asset` for `days`, the last of which is yesterday in `zone`."""
    key = AssetKey.from_user_string(asset)
    records = instance.get_asset_records([key])
    if not records:
        return ExternalStatus()
    entry = records[0].asset_entry
    latest = entry.last_materialization_record
    storage, names = instance.event_log_storage, {str(day): day for day in days}
    tried = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
    if latest.partition_key is None if latest else not tried:
        return _read_unpartitioned(instance, latest, entry.last_run_id, days[-1], zone)
    made = storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, partitions=set(names)
    )
    runs = {name: run_id for name, (run_id, _) in tried.items() if name in names}
    failed = _find_failed(instance, list(runs.values()))
    return ExternalStatus(
        {names[name]: event for name, event in made.items() if name in names},
        {names[name]: run_id for name, run_id in runs.items() if run_id in failed},
    )


def _read_unpartitioned(
    instance: DagsterInstance,
    latest: EventLogRecord | None,
    run_id: str | None,
    day: dt.date,
    zone: ZoneInfo,
) -> ExternalStatus:
    """Return the status of an asset without partitions; it has `day` if materialized after its end."""
    end = instant(day + dt.timedelta(days=1), zone)
    made = {day: latest.storage_id} if latest and latest.timestamp >= end.timestamp() else {}
    if run_id and (latest is None or latest.run_id != run_id) and _find_failed(instance, [run_id]):
        return ExternalStatus(made, {day: run_id})
    return ExternalStatus(made)


def _find_failed(instance: DagsterInstance, runs: list[str]) -> set[str]:
    if not runs:
        return set()
    filters = RunsFilter(run_ids=runs, statuses=[DagsterRunStatus.FAILURE])
    return {run.run_id for run in instance.get_runs(filters)}
