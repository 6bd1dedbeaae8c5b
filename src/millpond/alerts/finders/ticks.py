"""Failed ticks of sensors and schedules, and notices that other packages wrote to `ops.notices`."""

from __future__ import annotations

from typing import Any

from dagster import deserialize_value

from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.event_log import query_dagster
from millpond.alerts.kinds import KINDS
from millpond.alerts.outbox import Connection, list_open_alerts, record, resolve
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
    """Record failed ticks and resolve what works again, in the caller's transaction; returns the new ones."""
    seen = connection.execute("select source from alert_sources where source like 'tick:%'").fetchall()
    facts = {row["source"] for row in seen}
    fresh = [row for row in query_dagster(_FAILED, ()) if f"tick:{row[0]}" not in facts]
    new = record(
        connection,
        [_build_tick_alert(number, deserialize_value(body, TickData), pages) for number, body in fresh],
    )
    if still_open := {alert.job: alert for alert in list_open_alerts(connection, "tick_failed")}:
        for status, body in query_dagster(_LATEST, ()):
            name = deserialize_value(body, TickData).instigator_name
            if status != "FAILURE" and name in still_open:
                resolve(connection, still_open[name], "Its latest tick succeeded.")
    return new


def _build_tick_alert(number: int, tick: TickData, pages: str) -> Alert:
    what = tick.instigator_type.value.lower()
    return Alert(
        kind="tick_failed",
        source=f"tick:{number}",
        dedup_key=f"tick:{tick.instigator_name}",
        title=f"{what} {tick.instigator_name} failed",
        reason=tick.error.message if tick.error else "the tick failed without an error",
        job=tick.instigator_name,
        run_url=f"{pages}/automation",
    )


def record_notices(connection: Connection, facts: AssetFacts) -> int:
    """Turn notices into alerts, in the caller's transaction; returns how many are new."""
    new = 0
    for row in sorted(connection.execute("delete from notices returning *"), key=lambda row: row["id"]):
        if row["over"]:
            _resolve_notice(connection, row)
        else:
            new += record(connection, [_build_notice_alert(row, facts)])
    return new


def _resolve_notice(connection: Connection, row: dict[str, Any]) -> None:
    for alert in list_open_alerts(connection, row["kind"]):
        if alert.dedup_key == f"{row['kind']}:{row['key']}":
            resolve(connection, alert, row["reason"])


def _build_notice_alert(row: dict[str, Any], facts: AssetFacts) -> Alert:
    kind, assets = row["kind"], tuple(row["assets"])
    return Alert(
        kind=kind,
        source=row["source"] or f"notice:{row['id']}",
        dedup_key=f"{kind}:{row['key']}",
        title=row["title"],
        reason=row["reason"],
        severity=KINDS[kind].severity,
        assets=assets,
        partition=row["partition"],
        owners=facts.owners_of(assets),
        tags=facts.tags_of(assets),
    )
