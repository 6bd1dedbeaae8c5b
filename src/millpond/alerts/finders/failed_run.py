"""A failed run as Dagster recorded it, told as the alert that people are sent."""

from __future__ import annotations

from collections import Counter

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.events import DagsterEvent
from dagster_shared.error import SerializableErrorInfo

from millpond.alerts.alert import Alert, listed
from millpond.alerts.finders.known import Known
from millpond.alerts.kinds import KINDS
from millpond.naming import MAIN_REF
from millpond.resources.run import partitions_of, ref_of

_FAILURE = "dagster._core.definitions.events.Failure: "
"""What Dagster puts before an error that a step reported itself."""

RUN_KINDS = ("run_failed", "retries_exhausted", "blocking_check_failed")


def run_failed(
    instance: DagsterInstance,
    run: DagsterRun,
    event_id: int,
    failure: DagsterEvent | None,
    known: Known,
    pages: str,
) -> Alert:
    """Return what is known of the failed `run`; `pages` is the address of Dagster's pages."""
    steps = _events(instance, run, DagsterEventType.STEP_FAILURE)
    broken = {event.step_key for event in steps}
    planned = _events(instance, run, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    keys = {event.asset_key for event in planned if event.step_key in broken and event.asset_key}
    checks = _blocking(instance, run)
    assets = tuple(sorted(key.to_user_string() for key in keys | {check.asset_key for check in checks}))
    partition, ref = partitions_of(run.tags), ref_of(run.tags)
    kind = "blocking_check_failed" if checks else "run_failed"
    if not checks and _retried_out(instance, run, broken, assets, known):
        kind = "retries_exhausted"
    days = f" for {partition}" if partition else ""
    on_ref = "" if ref == MAIN_REF else f" on ref {ref}"
    return Alert(
        kind=kind,
        source=f"event:{event_id}",
        dedup_key=f"run:{','.join(assets) or run.job_name}:{partition}:{ref}",
        title=f"{listed(assets) or f'run of {run.job_name}'} failed{days}{on_ref}",
        reason="\n".join(_reason(event) for event in steps) or _said(failure),
        severity=KINDS[kind].severity if ref == MAIN_REF else "warning",
        assets=assets,
        checks=tuple(sorted(check.name for check in checks)),
        partition=partition,
        owners=known.owners_of(assets),
        tags=known.tags_of(assets),
        ref=ref,
        job=run.job_name,
        run_id=run.run_id,
        run_url=f"{pages}/runs/{run.run_id}",
        position=event_id,
    )


def _retried_out(
    instance: DagsterInstance, run: DagsterRun, broken: set[str | None], assets: tuple[str, ...], known: Known
) -> bool:
    """Return whether a step failed that had been started again as often as its policy allows."""
    again = Counter(event.step_key for event in _events(instance, run, DagsterEventType.STEP_RESTARTED))
    allowed = max((known.retries.get(name, 0) for name in assets), default=0) or 1
    return any(again[step] >= allowed for step in broken if step)


def _events(instance: DagsterInstance, run: DagsterRun, kind: DagsterEventType) -> list[DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [event for record in records if (event := record.event_log_entry.dagster_event)]


def _blocking(instance: DagsterInstance, run: DagsterRun) -> list[dg.AssetCheckKey]:
    found = _events(instance, run, DagsterEventType.ASSET_CHECK_EVALUATION)
    results = [event.asset_check_evaluation_data for event in found]
    return [r.asset_check_key for r in results if not r.passed and r.blocking]


def _reason(event: DagsterEvent) -> str:
    """Return what the code said that failed, without the frames of Dagster around it."""
    error = event.step_failure_data.error
    while isinstance(error, SerializableErrorInfo) and error.cause:
        error = error.cause
    if not isinstance(error, SerializableErrorInfo):
        return event.message or "the step failed without an error"
    return error.message.strip().removeprefix(_FAILURE)


def _said(failure: DagsterEvent | None) -> str:
    return (failure.message if failure else None) or "the run failed without an error"
