"""Whether what an open alert tells of is over: asked of Dagster's storage for each open alert."""

from __future__ import annotations

import datetime as dt
import json

from dagster import DagsterInstance, RunsFilter

from millpond.alerts.alert import Alert
from millpond.alerts.finders.events import Ask, asking
from millpond.alerts.finders.failed_run import FAILURES
from millpond.alerts.finders.known import Known
from millpond.alerts.recording import open_alerts, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import RANGE_SEPARATOR
from millpond.resources.run import partitions_of

_OF_DAYS = ("partition_late", "not_published")
_NOTICES, _NOTICE_DAYS = ("quarantine", "check_failed"), 7
"""Kinds that leave the run green; nobody may ever make the same days again, so they end by themselves."""
_MADE = """
    select count(distinct (e.asset_key, e.partition)) from event_logs e join runs r on r.run_id = e.run_id
    where e.dagster_event_type = 'ASSET_MATERIALIZATION' and e.id > %s and e.asset_key = any(%s)
        and (e.partition is null or e.partition between %s and %s) and r.status = 'SUCCESS'
"""
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
            if alert.kind == "check_failed":
                over = _passed_again(ask, instance, alert)
            else:
                over = _made_again(ask, alert, known)
            if over:
                resolve(connection, alert, "It has succeeded since.")
                ended += 1
    return ended


def _end_of_gone(connection: Connection, known: Known) -> int:
    gone = [a for a in open_alerts(connection, *FAILURES, *_NOTICES, *_OF_DAYS) if known.gone(a.assets)]
    for alert in gone:
        resolve(connection, alert, "Its assets no longer exist: they were deleted or renamed.")
    return len(gone)


def _made_again(ask: Ask, alert: Alert, known: Known) -> bool:
    if not alert.assets:
        return bool(ask(_RAN, (alert.position, alert.job)))
    first, last = _bounds(alert.partition)
    days = _days(first, last)
    names = [name for name in alert.assets if name in known.names or not known.names]
    keys = [json.dumps(name.split("/")) for name in names]
    wanted = sum(days if name in known.daily else 1 for name in names)
    if ask(_MADE, (alert.position, keys, first, last))[0][0] >= wanted:
        return True
    return all(_ran_since(ask, alert, key, days) for key in keys)


def _ran_since(ask: Ask, alert: Alert, key: str, days: int) -> bool:
    """Return whether runs that succeeded were to make the asset for all days of the alert.

    Days that the source no longer serves are not made even then, and are no failure.
    """
    found = ask(_SUCCEEDED, (key, alert.position))
    if not alert.partition:
        return bool(found)
    first, last = _bounds(alert.partition)
    covered: set[str] = set()
    for begin, end in ((a or day, b or day) for a, b, day in found):
        if begin and end:
            covered |= _between(max(begin, first), min(end, last))
    return len(covered) >= days


def _between(first: str, last: str) -> set[str]:
    return {
        str(dt.date.fromisoformat(first) + dt.timedelta(days=number)) for number in range(_days(first, last))
    }


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


def _days(first: str, last: str) -> int:
    try:
        return (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days + 1
    except ValueError:
        return 1
