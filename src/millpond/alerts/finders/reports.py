"""Alerts that only inform: finished backfills, and the daily summary."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from dagster import deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.finders.event_log import query_dagster
from millpond.alerts.kinds import Severity
from millpond.alerts.outbox import Connection, record
from millpond.internals.dagster_on_demand import PartitionBackfill
from millpond.naming import MAIN_REF, pluralize
from millpond.partitions import Window

_DAGSTER = """
    select body from bulk_actions
    where status in ('COMPLETED', 'COMPLETED_SUCCESS', 'COMPLETED_FAILED', 'FAILED', 'CANCELED')
        and timestamp > (now() at time zone 'utc') - interval '7 days'
"""
_LEDGER = """
    select b.id, b.selection, b.ref, b.first_day, b.last_day, b.state, b.seconds,
        (select jsonb_object_agg(state, n) from (
            select state, count(*) as n from backfill_partitions where backfill = b.id group by state) tally
        ) as partitions, b.state = 'running' as died
    from backfills b where b.ended > now() - interval '1 day'
        or (b.state = 'running' and b.heartbeat < now() - interval '1 minute')
"""
"""A running backfill updates its heartbeat every few seconds; one without a heartbeat died."""


def record_backfills(connection: Connection, pages: str, since: float) -> int:
    """Record the backfills that ended after `since` (seconds since 1970); returns how many are new."""
    return record(connection, [*_read_from_dagster(pages, since), *_read_from_ledger(connection)])


def _read_from_dagster(pages: str, since: float) -> Iterator[Alert]:
    for (body,) in query_dagster(_DAGSTER, ()):
        backfill = deserialize_value(body, PartitionBackfill)
        if (backfill.backfill_end_timestamp or 0.0) < since:
            continue
        ended = backfill.status.value.removeprefix("COMPLETED_").lower()
        assets = tuple(sorted(key.to_user_string() for key in backfill.asset_selection or ()))
        yield _build_alert(
            backfill.backfill_id,
            f"backfill {backfill.backfill_id}: {ended}",
            backfill.error.message if backfill.error else "",
            good=ended in ("success", "completed"),
            assets=assets,
            run_url=f"{pages}/runs/b/{backfill.backfill_id}",
        )


def _read_from_ledger(connection: Connection) -> Iterator[Alert]:
    for row in connection.execute(_LEDGER).fetchall():
        days = str(Window.of_days(row["first_day"], row["last_day"])) if row["first_day"] else ""
        tally = ", ".join(f"{n} {state}" for state, n in (row["partitions"] or {}).items())
        state, end = row["state"], f"It took {row['seconds']:.0f} s."
        if row["died"]:
            state, end = "its process died", f"Continue with: millpond backfill --resume {row['id']}"
        yield _build_alert(
            f"{row['id']}:died" if row["died"] else row["id"],
            f"backfill of {row['selection']}{f' for {days}' if days else ''}: {state}",
            f"Partitions: {tally or 'none'}. {end}",
            good=row["state"] == "done",
            partition=days,
            ref=row["ref"],
        )


def _build_alert(
    name: str,
    title: str,
    reason: str,
    *,
    good: bool,
    assets: tuple[str, ...] = (),
    partition: str = "",
    ref: str = MAIN_REF,
    run_url: str = "",
) -> Alert:
    severity: Severity = "info" if good else "warning"
    source = f"backfill:{name}"
    return Alert(
        kind="backfill_finished",
        source=source,
        dedup_key=source,
        title=title,
        reason=reason,
        severity=severity,
        assets=assets,
        partition=partition,
        ref=ref,
        run_url=run_url,
    )


_RUNS = """
    select count(*) filter (where status = 'SUCCESS'), count(*) filter (where status = 'FAILURE')
    from runs where end_time > extract(epoch from now()) - 86400
"""
_MATERIALIZED = """
    select count(distinct (asset_key, partition)), count(distinct asset_key) from event_logs
    where dagster_event_type = 'ASSET_MATERIALIZATION'
        and timestamp > (now() at time zone 'utc') - interval '1 day'
"""


def record_summary(connection: Connection, at: str, now: dt.datetime, pages: str) -> int:
    """Record the summary of the last 24 hours once a day, at `at` (HH:MM, in the zone of `now`) or later.

    Returns how many are new.
    """
    source = f"summary:{now.date()}"
    seen = connection.execute("select 1 from alert_sources where source = %s", (source,)).fetchone()
    if seen or now.time() < dt.time.fromisoformat(at):
        return 0
    good, bad = query_dagster(_RUNS, ())[0]
    partitions, assets = query_dagster(_MATERIALIZED, ())[0]
    open_now = connection.execute("select count(*) as n from alerts where resolved_at is null").fetchone()
    left = open_now["n"] if open_now else 0
    return record(
        connection,
        [
            Alert(
                kind="success_summary",
                source=source,
                dedup_key="summary",
                title=f"last 24 hours: {pluralize(good, 'run')} succeeded, {bad} failed",
                reason=f"{pluralize(partitions, 'partition')} of {pluralize(assets, 'asset')} materialized."
                f" {pluralize(left, 'alert', 'are')} open.",
                severity="info",
                run_url=f"{pages}/runs",
            )
        ],
    )
