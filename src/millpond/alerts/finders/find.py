"""Finds what is worth an alert since the last look, and what has been resolved."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence

from dagster import DagsterInstance, DagsterRun, EventLogEntry, RunsFilter, deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.channels import channels
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.cause import is_of_limit
from millpond.alerts.finders.checks import report_failed_check, report_quarantine
from millpond.alerts.finders.dashboards import record_broken_dashboards
from millpond.alerts.finders.event_log import Row, find_materialized, read_new_events
from millpond.alerts.finders.failed_run import report_failed_run
from millpond.alerts.finders.late import record_late, record_unpublished
from millpond.alerts.finders.recoveries import merge_recurring, resolve_recovered
from millpond.alerts.finders.reports import record_backfills, record_summary
from millpond.alerts.finders.ticks import record_notices, record_ticks
from millpond.alerts.message import dagster_pages as base
from millpond.alerts.outbox import outbox, record
from millpond.alerts.routing import Routing
from millpond.settings import Settings

_EVENTS = 200
_FIRST_DAYS = 1.0
"""How far back the first search in a home goes."""


def find_alerts(
    instance: DagsterInstance, settings: Settings, routing: Routing, facts: AssetFacts, seconds: float = 30.0
) -> int:
    """Put new findings into the outbox, each batch in one transaction with the cursor; returns how many.

    After `seconds`, the rest is left to the next call.
    """
    channels(settings)  # registers their secrets for redaction
    pages, deadline, new = base(settings), time.monotonic() + seconds, 0
    while True:
        with outbox() as connection:
            events = read_new_events(connection, _EVENTS, _FIRST_DAYS)
            new += record(
                connection,
                merge_recurring(connection, _build_alerts(instance, events, routing, facts, pages), facts),
            )
        if len(events) < _EVENTS:
            break
        if time.monotonic() > deadline:
            return new
    now = dt.datetime.now(settings.zone)
    facts = facts.without_idle(find_materialized(frozenset().union(*facts.unasked.values())))
    with outbox() as connection:
        resolve_recovered(connection, instance, facts)
        new += record_notices(connection, facts)
        new += record_ticks(connection, pages)
        new += record_broken_dashboards(connection, settings, facts, now)
        new += record_backfills(connection, pages, time.time() - _FIRST_DAYS * 86400)
        if routing.late_after_days:
            new += record_late(connection, settings, facts, routing.late_after_days, now)
        if routing.published_by:
            new += record_unpublished(connection, settings, facts, routing.published_by, now)
        if routing.summary_at:
            new += record_summary(connection, routing.summary_at, now, pages)
    return new


def _build_alerts(
    instance: DagsterInstance, rows: Sequence[Row], routing: Routing, facts: AssetFacts, pages: str
) -> Iterator[Alert]:
    ids = list({row.run_id for row in rows})
    runs = {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=ids))} if ids else {}
    for row in rows:
        if (run := runs.get(row.run_id)) and (
            alert := _build_alert(instance, row, run, routing, facts, pages)
        ):
            yield alert


def _build_alert(
    instance: DagsterInstance, row: Row, run: DagsterRun, routing: Routing, facts: AssetFacts, pages: str
) -> Alert | None:
    event = deserialize_value(row.event, EventLogEntry).dagster_event
    if event is None:
        return None
    if row.kind == "ASSET_CHECK_EVALUATION":
        return report_failed_check(run, row.id, event.asset_check_evaluation_data, facts, pages)
    if row.kind == "ASSET_MATERIALIZATION":
        return report_quarantine(run, row.id, event, routing.quarantine_above, facts, pages)
    if row.kind == "PIPELINE_CANCELED" and is_of_limit(instance, run):
        return None  # its failure is told
    return report_failed_run(instance, run, row.id, event, facts, pages)
