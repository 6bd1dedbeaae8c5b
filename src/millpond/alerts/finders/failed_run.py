"""Turns a failed run, as Dagster recorded it, into an alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
)

from millpond.alerts.alert import Alert, shorten_list
from millpond.alerts.days import add_commands, format_days, parse_days, shorten_days
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.cause import Cause, find_cause, is_of_limit
from millpond.alerts.kinds import KINDS
from millpond.instance.failure import read_failed_days
from millpond.naming import MAIN_REF, pluralize
from millpond.resources.run import partitions_of, ref_of

_VERBS = {"run_stopped": "was stopped", "days_unreachable": "requested days that the source no longer serves"}
_NAMED = 3
FAILURES = ("run_failed", "retries_exhausted", "blocking_check_failed")
"""Kinds that stay open until the failed assets are materialized."""


def report_failed_run(
    instance: DagsterInstance,
    run: DagsterRun,
    event_id: int,
    failure: DagsterEvent | None,
    facts: AssetFacts,
    pages: str,
) -> Alert:
    """Return the alert for the failed `run`; `pages` is the address of Dagster's pages."""
    steps = _read_events(instance, run, DagsterEventType.STEP_FAILURE)
    broken = {event.step_key for event in steps}
    planned = _read_events(instance, run, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    if not broken and is_of_limit(instance, run):  # its failure is recorded before that of its step
        done = {event.step_key for event in _read_events(instance, run, DagsterEventType.STEP_SUCCESS)}
        broken = {event.step_key for event in planned} - done
    keys = {event.asset_key for event in planned if event.step_key in broken and event.asset_key}
    checks = _find_failed_checks(instance, run)
    cause = find_cause(steps, checks, failure)
    assets = tuple(sorted(key.to_user_string() for key in keys | {check.asset_key for check in checks}))
    ref = ref_of(run.tags)
    kind = _choose_kind(
        cause, bool(checks), lambda: _has_no_retries_left(instance, run, broken, assets, facts)
    )
    partition = (
        partitions_of(run.tags) if cause.stopped else _find_failed_days(instance, run, steps, planned, checks)
    )
    asked = partitions_of(run.tags)
    others = asked if asked != partition and any(e.step_key not in broken for e in planned) else ""
    days = f" for {shorten_days(partition)}" if partition else ""
    on_ref = "" if ref == MAIN_REF else f" on ref {ref}"
    urgent = ref == MAIN_REF or not KINDS[kind].lasts
    return Alert(
        kind=kind,
        source=f"event:{event_id}",
        dedup_key=f"run:{','.join(assets) or run.job_name}:{partition}:{ref}:{event_id}",
        title=f"{_compose_subject(cause.root, assets, run)} {_VERBS.get(kind, 'failed')}{days}{on_ref}",
        reason=cause.text,
        unharmed=cause.unharmed,
        next_step=_compose_next_step(cause, assets, partition, ref, others) if kind in FAILURES else "",
        severity=KINDS[kind].severity if urgent else "warning",
        assets=assets,
        checks=tuple(sorted(check.check_name for check in checks)),
        partition=partition,
        owners=facts.owners_of(assets),
        tags=facts.tags_of(assets),
        ref=ref,
        job=run.job_name,
        run_id=run.run_id,
        run_url=f"{pages}/runs/{run.run_id}",
        position=event_id,
        causes=cause.names,
    )


def _choose_kind(cause: Cause, by_check: bool, no_retries_left: Callable[[], bool]) -> str:
    if cause.stopped:
        return "run_stopped"
    if cause.beyond_reach:
        return "days_unreachable"
    if by_check:
        return "blocking_check_failed"
    return "retries_exhausted" if no_retries_left() else "run_failed"


def _compose_next_step(cause: Cause, assets: tuple[str, ...], partition: str, ref: str, others: str) -> str:
    """Return what the error advises, then the commands that materialize what failed and all downstream of it.

    `others` are the days of the run, if some of them did not fail and assets depend on them.
    """
    names = [cause.root] if cause.root in assets else list(assets)
    selection = ",".join(f"{name}*" for name in names) if 0 < len(names) <= _NAMED else "*"
    if "millpond materialize" in cause.next_step:
        return cause.next_step
    return add_commands(cause.next_step or "fix the cause", selection, partition, ref, others)


def _find_failed_days(
    instance: DagsterInstance,
    run: DagsterRun,
    steps: Sequence[DagsterEvent],
    planned: Sequence[DagsterEvent],
    checks: Sequence[AssetCheckEvaluation],
) -> str:
    """Return the days of the run that failed: those a step names, else those it did not materialize."""
    partition = partitions_of(run.tags)
    if not partition or checks or not steps:
        return partition
    days, failed = parse_days(partition), set[str]()
    made: dict[AssetKey, set[str]] = {}
    for event in _read_events(instance, run, DagsterEventType.ASSET_MATERIALIZATION):
        done = event.step_materialization_data.materialization
        made.setdefault(done.asset_key, set()).add(done.partition or "")
    for step in steps:
        if named := read_failed_days(step.step_failure_data):
            failed |= {day for each in named for day in parse_days(each.days)}
            continue
        for event in planned:
            if event.step_key == step.step_key and event.asset_key:
                failed |= set(days) - made.get(event.asset_key, set())
    return format_days(failed) or partition


def _compose_subject(root: str, assets: tuple[str, ...], run: DagsterRun) -> str:
    """Return the subject of the title: the asset that failed, and how many others its step left out."""
    if root not in assets or len(assets) == 1:
        return shorten_list(assets) or f"run of {run.job_name}"
    return f"{root} (with {pluralize(len(assets) - 1, 'more asset')} of its step)"


def _has_no_retries_left(
    instance: DagsterInstance,
    run: DagsterRun,
    broken: set[str | None],
    assets: tuple[str, ...],
    facts: AssetFacts,
) -> bool:
    """Return whether a step failed that had used all retries of its policy."""
    again = Counter(event.step_key for event in _read_events(instance, run, DagsterEventType.STEP_RESTARTED))
    allowed = max((facts.retries.get(name, 0) for name in assets), default=0) or 1
    return any(again[step] >= allowed for step in broken if step)


def _read_events(instance: DagsterInstance, run: DagsterRun, kind: DagsterEventType) -> list[DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [event for record in records if (event := record.event_log_entry.dagster_event)]


def _find_failed_checks(instance: DagsterInstance, run: DagsterRun) -> list[AssetCheckEvaluation]:
    found = _read_events(instance, run, DagsterEventType.ASSET_CHECK_EVALUATION)
    results = [event.asset_check_evaluation_data for event in found]
    return [result for result in results if not result.passed and result.blocking]
