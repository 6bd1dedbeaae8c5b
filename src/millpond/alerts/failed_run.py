"""A failed run as Dagster recorded it, told as the event that people are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.events import DagsterEvent
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dagster_shared.error import SerializableErrorInfo

from millpond.alerts.event import RunFailed
from millpond.partitions import RANGE_SEPARATOR
from millpond.resources.run import ref_of

Owners = Mapping[dg.AssetKey, Sequence[str]]


def run_failed(
    instance: DagsterInstance, run: DagsterRun, failure: DagsterEvent | None, owners: Owners, pages: str
) -> RunFailed:
    """Return what is known of the failed `run`; `pages` is the address of Dagster's pages."""
    steps = _events(instance, run, DagsterEventType.STEP_FAILURE)
    broken = {event.step_key for event in steps}
    planned = _events(instance, run, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    keys = {event.asset_key for event in planned if event.step_key in broken and event.asset_key}
    checks = _blocking(instance, run)
    concerned = keys | {check.asset_key for check in checks}
    return RunFailed(
        run_id=run.run_id,
        job=run.job_name,
        assets=tuple(sorted(key.to_user_string() for key in concerned)),
        checks=tuple(sorted(check.name for check in checks)),
        partitions=_partitions(run.tags),
        error="\n".join(_reason(event) for event in steps) or _said(failure),
        run_url=f"{pages}/runs/{run.run_id}",
        owners=tuple(sorted({owner for key in concerned for owner in owners.get(key, ())})),
        ref=ref_of(run.tags),
    )


def _events(instance: DagsterInstance, run: DagsterRun, kind: DagsterEventType) -> list[DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [event for record in records if (event := record.event_log_entry.dagster_event)]


def _blocking(instance: DagsterInstance, run: DagsterRun) -> list[dg.AssetCheckKey]:
    found = _events(instance, run, DagsterEventType.ASSET_CHECK_EVALUATION)
    results = [event.asset_check_evaluation_data for event in found]
    error = dg.AssetCheckSeverity.ERROR
    return [r.asset_check_key for r in results if not r.passed and r.severity == error]


def _partitions(tags: Mapping[str, str]) -> str:
    if first := tags.get(ASSET_PARTITION_RANGE_START_TAG):
        return f"{first}{RANGE_SEPARATOR}{tags.get(ASSET_PARTITION_RANGE_END_TAG, first)}"
    return tags.get(PARTITION_NAME_TAG, "")


def _reason(event: DagsterEvent) -> str:
    """Return what the code said that failed, without the frames of Dagster around it."""
    error = event.step_failure_data.error
    while isinstance(error, SerializableErrorInfo) and error.cause:
        error = error.cause
    if not isinstance(error, SerializableErrorInfo):
        return event.message or "the step failed without an error"
    return error.message.strip()


def _said(failure: DagsterEvent | None) -> str:
    return (failure.message if failure else None) or "the run failed without an error"
