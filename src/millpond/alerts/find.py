"""Finds what is worth an alert since the last look, and what is over; whatever wakes it, however often."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence

from dagster import DagsterInstance, DagsterRun, EventLogEntry, RunsFilter, deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.channels import channels
from millpond.alerts.finders.backfills import record_backfills
from millpond.alerts.finders.checks import check_failed, quarantined
from millpond.alerts.finders.events import Row, new_events
from millpond.alerts.finders.failed_run import run_failed
from millpond.alerts.finders.known import Known
from millpond.alerts.finders.late import record_late
from millpond.alerts.finders.made import ever_made
from millpond.alerts.finders.notices import record_notices
from millpond.alerts.finders.recoveries import resolve_recovered
from millpond.alerts.finders.recurring import joined
from millpond.alerts.finders.summary import record_summary
from millpond.alerts.finders.ticks import record_ticks
from millpond.alerts.finders.unpublished import record_unpublished
from millpond.alerts.links import pages as base
from millpond.alerts.recording import record
from millpond.alerts.routing import Routing
from millpond.alerts.tables import outbox
from millpond.settings import Settings

_EVENTS = 200
_FIRST_DAYS = 1.0
"""How far back the first look of all goes."""


def find(
    instance: DagsterInstance, settings: Settings, routing: Routing, known: Known, seconds: float = 30.0
) -> int:
    """Put what is new into the outbox, each batch in one transaction with the cursor; returns how much it is.

    What does not fit into `seconds` is left to the next look.
    """
    channels(settings)  # from here on, their secrets are masked
    pages, deadline, new = base(settings), time.monotonic() + seconds, 0
    while True:
        with outbox() as connection:
            events = new_events(connection, _EVENTS, _FIRST_DAYS)
            new += record(
                connection, joined(connection, _alerts(instance, events, routing, known, pages), known)
            )
        if len(events) < _EVENTS:
            break
        if time.monotonic() > deadline:
            return new
    now = dt.datetime.now(settings.zone)
    known = known.expected(ever_made(frozenset().union(*known.unasked.values())))
    with outbox() as connection:
        resolve_recovered(connection, instance, known)
        new += record_notices(connection, known)
        new += record_ticks(connection, pages)
        new += record_backfills(connection, pages, time.time() - _FIRST_DAYS * 86400)
        if routing.late_after_days:
            new += record_late(connection, settings, known, routing.late_after_days, now)
        if routing.published_by:
            new += record_unpublished(connection, settings, known, routing.published_by, now)
        if routing.summary_at:
            new += record_summary(connection, routing.summary_at, now, pages)
    return new


def _alerts(
    instance: DagsterInstance, rows: Sequence[Row], routing: Routing, known: Known, pages: str
) -> Iterator[Alert]:
    ids = list({row.run_id for row in rows})
    runs = {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=ids))} if ids else {}
    for row in rows:
        if (run := runs.get(row.run_id)) and (alert := _alert(instance, row, run, routing, known, pages)):
            yield alert


def _alert(
    instance: DagsterInstance, row: Row, run: DagsterRun, routing: Routing, known: Known, pages: str
) -> Alert | None:
    event = deserialize_value(row.event, EventLogEntry).dagster_event
    if event is None:
        return None
    if row.kind == "ASSET_CHECK_EVALUATION":
        return check_failed(run, row.id, event.asset_check_evaluation_data, known, pages)
    if row.kind == "ASSET_MATERIALIZATION":
        return quarantined(run, row.id, event, routing.quarantine_above, known, pages)
    return run_failed(instance, run, row.id, event, known, pages)
