"""Once a day, what went well and what did not: silence then means that something is wrong."""

from __future__ import annotations

import datetime as dt

from millpond.alerts.alert import Alert
from millpond.alerts.finders.events import asked
from millpond.alerts.recording import record
from millpond.alerts.tables import Connection

_RUNS = """
    select count(*) filter (where status = 'SUCCESS'), count(*) filter (where status = 'FAILURE')
    from runs where end_time > extract(epoch from now()) - 86400
"""
_MADE = """
    select count(distinct (asset_key, partition)), count(distinct asset_key) from event_logs
    where dagster_event_type = 'ASSET_MATERIALIZATION'
        and timestamp > (now() at time zone 'utc') - interval '1 day'
"""


def record_summary(connection: Connection, at: str, now: dt.datetime, pages: str) -> int:
    """Record the summary of the last 24 hours once a day, from `at` on (HH:MM, in the zone of `now`).

    Also forgets what was seen long ago. Returns how many are new.
    """
    source = f"summary:{now.date()}"
    told = connection.execute("select 1 from alert_sources where source = %s", (source,)).fetchone()
    if told or now.time() < dt.time.fromisoformat(at):
        return 0
    connection.execute("delete from alert_sources where at < clock_timestamp() - interval '60 days'")
    good, bad = asked(_RUNS, ())[0]
    partitions, assets = asked(_MADE, ())[0]
    open_now = connection.execute("select count(*) as n from alerts where resolved_at is null").fetchone()
    left = open_now["n"] if open_now else 0
    return record(
        connection,
        [
            Alert(
                kind="success_summary",
                source=source,
                dedup_key="summary",
                title=f"last 24 hours: {good} runs succeeded, {bad} failed",
                reason=f"{partitions} partitions of {assets} assets were made. {left} alerts are open.",
                severity="info",
                run_url=f"{pages}/runs",
            )
        ],
    )
