"""Whether what an open alert tells of is over: asked of Dagster's storage for each open alert."""

from __future__ import annotations

import datetime as dt
import json

from dagster import DagsterInstance, RunsFilter

from millpond.alerts.alert import Alert
from millpond.alerts.days import days_in, partition_of
from millpond.alerts.finders.events import Ask, asking
from millpond.alerts.finders.failed_run import FAILURES
from millpond.alerts.finders.known import Known
from millpond.alerts.recording import narrow, open_alerts, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import RANGE_SEPARATOR
from millpond.resources.run import partitions_of

_OF_DAYS = ("partition_late", "not_published")
_NOTICES, _NOTICE_DAYS = ("quarantine", "check_failed"), 7
"""Kinds that leave the run green; nobody may ever make the same days again, so they end by themselves."""
_MADE = """
    select distinct e.partition from event_logs e join runs r on r.run_id = e.run_id
    where e.dagster_event_type = 'ASSET_MATERIALIZATION' and e.id > %s and e.asset_key = %s
        and (r.status = 'SUCCESS' or r.status in ('FAILURE', 'CANCELED') and not %s and not exists (
            select 1 from asset_check_executions c where c.run_id = e.run_id and c.asset_key = e.asset_key
                and c.execution_status = 'FAILED'))
"""
"""A run that fails for other days has made these, unless a check of the asset fails."""
_RAN = """
    select 1 from event_logs e join runs r on r.run_id = e.run_id
    where e.dagster_event_type = 'PIPELINE_SUCCESS' and e.id > %s and r.pipeline_name = %s limit 1
"""
_SUCCEEDED = """
    select (select value from run_tags t where t.run_id = r.run_id
            and t.key = 'dagster/asset_partition_range_start'),
        (select value from run_tags t where t.run_id = r.run_id
            and t.key = 'dagster/asset_partition_range_end'),
        (select value from run_tags t where t.run_id = r.run_id and t.key = 'dagster/partition')
    from runs r where r.status = 'SUCCESS' and r.run_id in (
        select run_id from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
            and asset_key = %s and id > %s)
"""
_PASSED = """
    select run_id from asset_check_executions
    where asset_key = %s and check_name = %s and execution_status = 'SUCCEEDED'
        and evaluation_event_storage_id > %s
    order by id desc limit 50
"""


def resolve_recovered(connection: Connection, instance: DagsterInstance, known: Known) -> int:
    """End alerts whose assets, for all their days, or whose checks have succeeded since; returns how many."""
    ended = _end_of_gone(connection, known)
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=_NOTICE_DAYS)
    with asking() as ask:
        for alert in open_alerts(connection, *FAILURES, *_NOTICES):
            if alert.kind in _NOTICES and alert.last_at and alert.last_at < long_ago:
                resolve(connection, alert, f"It was not seen again for {_NOTICE_DAYS} days.")
                ended += 1
                continue
            days = set(days_in(alert.partition)) or {""}
            if alert.kind == "check_failed":
                left = set() if _passed_again(ask, instance, alert) else days
            else:
                left = days_left(ask, alert, known)
            if not left:
                resolve(connection, alert, "It has succeeded since.")
                ended += 1
            elif left < days:
                narrow(connection, alert, partition_of(left))
    return ended


def _end_of_gone(connection: Connection, known: Known) -> int:
    gone = [a for a in open_alerts(connection, *FAILURES, *_NOTICES, *_OF_DAYS) if known.gone(a.assets)]
    for alert in gone:
        resolve(connection, alert, "Its assets no longer exist: they were deleted or renamed.")
    return len(gone)


def days_left(ask: Ask, alert: Alert, known: Known) -> set[str]:
    """Return the days of an alert that were not made since; `{""}` stands for what has no days."""
    days = set(days_in(alert.partition)) or {""}
    if not alert.assets:
        return set() if ask(_RAN, (alert.position, alert.job)) else days
    left: set[str] = set()
    for name in alert.assets:
        if known.names and name not in known.names:
            continue
        key, of_days = json.dumps(name.split("/")), name in known.daily and days != {""}
        by_check = alert.kind == "blocking_check_failed"
        made = {day for (day,) in ask(_MADE, (alert.position, key, by_check))}
        missing = days - made if of_days or not made else set()
        if missing:
            missing -= _ran_since(ask, alert, key)
        left |= missing
    return left


def _ran_since(ask: Ask, alert: Alert, key: str) -> set[str]:
    """Return the days of the alert that runs which succeeded were to make of the asset.

    Days that the source no longer serves are not made even then, and are no failure.
    """
    found = ask(_SUCCEEDED, (key, alert.position))
    if not alert.partition:
        return {""} if found else set()
    windows = [(begin or day, end or day) for begin, end, day in found if begin or day]
    return {day for day in days_in(alert.partition) if any(a <= day <= b for a, b in windows)}


def _passed_again(ask: Ask, instance: DagsterInstance, alert: Alert) -> bool:
    key = json.dumps(alert.assets[0].split("/"))
    found = ask(_PASSED, (key, alert.checks[0], alert.position))
    if not found or not alert.partition:
        return bool(found)
    first, last = _bounds(alert.partition)
    for run in instance.get_runs(RunsFilter(run_ids=[run_id for (run_id,) in found])):
        begin, end = _bounds(partitions_of(run.tags))
        if begin <= first and last <= end:
            return True
    return False


def _bounds(partition: str) -> tuple[str, str]:
    first, _, last = partition.partition(RANGE_SEPARATOR)
    return first, last or first
