"""Sensors and schedules whose ticks fail: open until their latest tick has not failed."""

from __future__ import annotations

from dagster import deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.finders.events import asked
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.internals.dagster_on_demand import TickData

_FAILED = """
    select id, tick_body from job_ticks where status = 'FAILURE'
        and update_timestamp > (now() at time zone 'utc') - interval '1 day' order by id
"""
_LATEST = """
    select distinct on (selector_id) status, tick_body from job_ticks
    where status in ('SUCCESS', 'SKIPPED', 'FAILURE')
        and update_timestamp > (now() at time zone 'utc') - interval '7 days'
    order by selector_id, id desc
"""


def record_ticks(connection: Connection, pages: str) -> int:
    """Record failed ticks and end what works again, in the caller's transaction; returns how many are new."""
    seen = connection.execute("select source from alert_sources where source like 'tick:%'").fetchall()
    known = {row["source"] for row in seen}
    fresh = [row for row in asked(_FAILED, ()) if f"tick:{row[0]}" not in known]
    new = record(
        connection, [_alert(number, deserialize_value(body, TickData), pages) for number, body in fresh]
    )
    if still_open := {alert.job: alert for alert in open_alerts(connection, "tick_failed")}:
        for status, body in asked(_LATEST, ()):
            name = deserialize_value(body, TickData).instigator_name
            if status != "FAILURE" and name in still_open:
                resolve(connection, still_open[name], "Its latest tick did not fail.")
    return new


def _alert(number: int, tick: TickData, pages: str) -> Alert:
    what = tick.instigator_type.value.lower()
    return Alert(
        kind="tick_failed",
        source=f"tick:{number}",
        dedup_key=f"tick:{tick.instigator_name}",
        title=f"{what} {tick.instigator_name} fails",
        reason=tick.error.message if tick.error else "the tick failed without an error",
        job=tick.instigator_name,
        run_url=f"{pages}/automation",
    )
