"""Notices that other parts left in their own transactions: each becomes an alert, or the end of one."""

from __future__ import annotations

from typing import Any

from millpond.alerts.alert import Alert
from millpond.alerts.finders.known import Known
from millpond.alerts.kinds import KINDS
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection


def record_notices(connection: Connection, known: Known) -> int:
    """Turn what was left into alerts, in the caller's transaction; returns how many are new."""
    new = 0
    for row in sorted(connection.execute("delete from notices returning *"), key=lambda row: row["id"]):
        if row["over"]:
            _end(connection, row)
        else:
            new += record(connection, [_alert(row, known)])
    return new


def _end(connection: Connection, row: dict[str, Any]) -> None:
    for alert in open_alerts(connection, row["kind"]):
        if alert.dedup_key == f"{row['kind']}:{row['key']}":
            resolve(connection, alert, row["reason"])


def _alert(row: dict[str, Any], known: Known) -> Alert:
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
        owners=known.owners_of(assets),
        tags=known.tags_of(assets),
    )
