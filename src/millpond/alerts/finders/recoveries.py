"""Resolves open alerts when their days succeed, and extends them when the same days fail again."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dagster import DagsterInstance, RunsFilter

from millpond.alerts.alert import Alert
from millpond.alerts.days import format_days, parse_days, replace_days
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.event_log import Query, open_dagster
from millpond.alerts.finders.failed_run import FAILURES
from millpond.alerts.outbox import Connection, is_recorded, list_open_alerts, narrow, resolve
from millpond.resources.run import partitions_of

_OF_DAYS = ("partition_late", "not_published")
_NOTICES, _NOTICE_DAYS = ("quarantine", "check_failed"), 7
"""Kinds that do not fail the run; their days may never be loaded again, so they expire."""
_MATERIALIZED = """
    select distinct e.partition from event_logs e join runs r on r.run_id = e.run_id
    where e.dagster_event_type = 'ASSET_MATERIALIZATION' and e.id > %s and e.asset_key = %s
        and (r.status = 'SUCCESS' or r.status in ('FAILURE', 'CANCELED') and not %s and not exists (
            select 1 from asset_check_executions c where c.run_id = e.run_id and c.asset_key = e.asset_key
                and c.execution_status = 'FAILED'))
"""
"""A run that failed for other days counts, unless a check of the asset failed."""
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


def resolve_recovered(connection: Connection, instance: DagsterInstance, facts: AssetFacts) -> int:
    """Resolve alerts whose assets (for all their days) or checks succeeded since; returns how many."""
    ended = _resolve_deleted(connection, facts)
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=_NOTICE_DAYS)
    with open_dagster() as ask:
        for alert in list_open_alerts(connection, *FAILURES, *_NOTICES):
            if alert.kind in _NOTICES and alert.last_at and alert.last_at < long_ago:
                resolve(connection, alert, f"It did not happen again for {_NOTICE_DAYS} days.")
                ended += 1
                continue
            days = set(parse_days(alert.partition)) or {""}
            if alert.kind == "check_failed":
                left = set() if _has_passed(ask, instance, alert) else days
            else:
                left = find_days_left(ask, alert, facts)
            if not left:
                resolve(connection, alert, "It has succeeded since.")
                ended += 1
            elif left < days:
                narrow(connection, alert, format_days(left))
    return ended


def _resolve_deleted(connection: Connection, facts: AssetFacts) -> int:
    gone = [
        a
        for a in list_open_alerts(connection, *FAILURES, *_NOTICES, *_OF_DAYS)
        if facts.are_deleted(a.assets)
    ]
    for alert in gone:
        resolve(connection, alert, "Its assets no longer exist: they were deleted or renamed.")
    return len(gone)


def find_days_left(ask: Query, alert: Alert, facts: AssetFacts) -> set[str]:
    """Return the days of an alert that were not materialized since; `{""}` for an alert without days."""
    days = set(parse_days(alert.partition)) or {""}
    if not alert.assets:
        return set() if ask(_RAN, (alert.position, alert.job)) else days
    left: set[str] = set()
    for name in alert.assets:
        if facts.names and name not in facts.names:
            continue
        key, of_days = json.dumps(name.split("/")), name in facts.daily and days != {""}
        by_check = alert.kind == "blocking_check_failed"
        made = {day for (day,) in ask(_MATERIALIZED, (alert.position, key, by_check))}
        missing = days - made if of_days or not made else set()
        if missing:
            missing -= _find_days_of_runs(ask, alert, key)
        left |= missing
    return left


def _find_days_of_runs(ask: Query, alert: Alert, key: str) -> set[str]:
    """Return the days of the alert that successful runs covered for the asset.

    Such a run skips days that the source no longer serves, which is not a failure.
    """
    found = ask(_SUCCEEDED, (key, alert.position))
    if not alert.partition:
        return {""} if found else set()
    windows = [(begin or day, end or day) for begin, end, day in found if begin or day]
    return {day for day in parse_days(alert.partition) if any(a <= day <= b for a, b in windows)}


def _has_passed(ask: Query, instance: DagsterInstance, alert: Alert) -> bool:
    key = json.dumps(alert.assets[0].split("/"))
    found = ask(_PASSED, (key, alert.checks[0], alert.position))
    if not found or not alert.partition:
        return bool(found)
    days = set(parse_days(alert.partition))
    runs = instance.get_runs(RunsFilter(run_ids=[run_id for (run_id,) in found]))
    return any(days.issubset(parse_days(partitions_of(run.tags))) for run in runs)


_NOTIFY_AGAIN = """
    update alert_deliveries set state = 'pending', attempts = 0, next_attempt = clock_timestamp(),
        created_at = clock_timestamp(), message = null, uncertain = false
    where alert = %s and action = 'tell' and state in ('delivered', 'abandoned')
"""


def merge_recurring(connection: Connection, found: Iterable[Alert], facts: AssetFacts) -> Iterator[Alert]:
    """Yield what was found; a repeated failure becomes an update of its open alert, with the days of both."""
    for alert in found:
        if alert.kind in FAILURES and alert.lasts and not is_recorded(connection, alert):
            with open_dagster() as ask:
                yield _merge(connection, ask, alert, facts)
        else:
            yield alert


def _merge(connection: Connection, ask: Query, alert: Alert, facts: AssetFacts) -> Alert:
    days = set(parse_days(alert.partition))
    same = [each for each in list_open_alerts(connection, *FAILURES) if _is_same(each, alert, days)]
    if not same:
        return alert
    first, *others = same
    before = set[str]()
    for each in same:
        before |= find_days_left(ask, each, facts) - {""}
    still = find_days_left(ask, alert, facts) - {""}
    if days and not before | still:
        return alert  # all were materialized meanwhile, so `resolve_recovered` resolves both
    for each in others:
        resolve(connection, each, f"Merged into alert {first.id}, which has the same cause.")
    partition = format_days(before | still) if days else ""
    title, next_step = replace_days(alert.title, alert.next_step, alert.partition, partition, alert.ref)
    reason, unharmed = [alert.reason], [alert.unharmed]
    if before - days:  # days that this failure does not mention
        reason += [line for line in first.reason.splitlines() if line not in alert.reason]
        unharmed += [first.unharmed] if first.unharmed not in alert.unharmed else []
    if still - set(parse_days(first.partition)):
        connection.execute(_NOTIFY_AGAIN, (first.id,))
    return replace(
        alert,
        dedup_key=first.dedup_key,
        title=title,
        partition=partition,
        reason="\n".join(reason),
        unharmed="; ".join(unharmed),
        next_step=next_step,
        assets=tuple(sorted({*first.assets, *alert.assets})),
        causes=tuple(sorted({*first.causes, *alert.causes})),
    )


def _is_same(there: Alert, alert: Alert, days: set[str]) -> bool:
    """Return whether `alert` repeats `there`, so that the days of both are days that failed."""
    before, mine, theirs = set(parse_days(there.partition)), set(alert.assets), set(there.assets)
    if there.ref != alert.ref or bool(before) != bool(days):
        return False
    if not mine and there.job != alert.job:
        return False
    if there.causes and not set(there.causes) & set(alert.causes):
        return False
    if before and not before & days:
        return False
    within = mine <= theirs and days <= before
    around = mine >= theirs and days >= before
    return mine == theirs or within or around
