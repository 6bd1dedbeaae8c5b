"""Backfills that ended: those of Dagster's pages, and those of `millpond backfill` where there were any."""

from __future__ import annotations

from collections.abc import Iterator

from dagster import deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.finders.events import asked
from millpond.alerts.kinds import Severity
from millpond.alerts.recording import record
from millpond.alerts.tables import Connection
from millpond.internals.dagster_on_demand import PartitionBackfill
from millpond.naming import MAIN_REF
from millpond.partitions import RANGE_SEPARATOR

_DAGSTERS = """
    select body from bulk_actions
    where status in ('COMPLETED', 'COMPLETED_SUCCESS', 'COMPLETED_FAILED', 'FAILED', 'CANCELED')
        and timestamp > (now() at time zone 'utc') - interval '7 days'
"""
_OURS = """
    select b.id, b.selection, b.ref, b.first_day, b.last_day, b.state, b.seconds,
        (select jsonb_object_agg(state, n) from (
            select state, count(*) as n from backfill_partitions where backfill = b.id group by state) tally
        ) as partitions, b.state = 'running' as died
    from backfills b where b.ended > now() - interval '1 day'
        or (b.state = 'running' and b.heartbeat < now() - interval '1 minute')
"""
"""A backfill says every few seconds that it lives: a silent one died without a word."""


def record_backfills(connection: Connection, pages: str, since: float) -> int:
    """Record the backfills that ended after `since` (seconds since 1970); returns how many are new."""
    return record(connection, [*_dagsters(pages, since), *_ours(connection)])


def _dagsters(pages: str, since: float) -> Iterator[Alert]:
    for (body,) in asked(_DAGSTERS, ()):
        backfill = deserialize_value(body, PartitionBackfill)
        if (backfill.backfill_end_timestamp or 0.0) < since:
            continue
        ended = backfill.status.value.removeprefix("COMPLETED_").lower()
        assets = tuple(sorted(key.to_user_string() for key in backfill.asset_selection or ()))
        yield _alert(
            backfill.backfill_id,
            f"backfill {backfill.backfill_id}: {ended}",
            backfill.error.message if backfill.error else "",
            good=ended in ("success", "completed"),
            assets=assets,
            run_url=f"{pages}/runs/b/{backfill.backfill_id}",
        )


def _ours(connection: Connection) -> Iterator[Alert]:
    for row in connection.execute(_OURS).fetchall():
        days = f"{row['first_day']}{RANGE_SEPARATOR}{row['last_day']}" if row["first_day"] else ""
        tally = ", ".join(f"{n} {state}" for state, n in (row["partitions"] or {}).items())
        state, end = row["state"], f"It took {row['seconds']:.0f} s."
        if row["died"]:
            state, end = "its process died", f"millpond backfill --resume {row['id']} goes on."
        yield _alert(
            f"{row['id']}:died" if row["died"] else row["id"],
            f"backfill of {row['selection']}{f' for {days}' if days else ''}: {state}",
            f"Partitions: {tally or 'none'}. {end}",
            good=row["state"] == "done",
            partition=days,
            ref=row["ref"],
        )


def _alert(
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
