"""Alerts with the state of their delivery: what is open, and whether anyone was notified."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from millpond.alerts.alert import Alert, alert_from_row
from millpond.alerts.outbox import outbox

_NOTIFIED = "delivered"


@dataclass(frozen=True)
class AlertLine:
    """An alert, and the state of its latest delivery by channel."""

    alert: Alert
    channels: dict[str, str]

    @property
    def notified(self) -> tuple[str, ...]:
        """The channels that took it."""
        return tuple(name for name, state in self.channels.items() if state == _NOTIFIED)


_LIST = """
    select a.*, coalesce((
        select jsonb_object_agg(channel, state) from (
            select distinct on (channel) channel, state from alert_deliveries d
            where d.alert = a.id and action = 'tell' order by channel, d.id desc
        ) told), '{}') as told
    from alerts a
    where resolved_at is null or last_at >= %(since)s
    order by resolved_at is null desc, id desc limit %(limit)s
"""


def list_alert_lines(since: dt.datetime, limit: int = 200) -> list[AlertLine]:
    """Return the open alerts, then those since a moment, newest first."""
    with outbox() as connection:
        rows = connection.execute(_LIST, {"since": since, "limit": limit}).fetchall()
    return [AlertLine(alert_from_row(row), row["told"]) for row in rows]


def count_alerts(since: dt.datetime) -> list[dict[str, Any]]:
    """Return the numbers of alerts by severity, kind and whether open: `severity, kind, open, alerts`."""
    with outbox() as connection:
        return connection.execute(
            "select severity, kind, resolved_at is null as open, count(*) as alerts from alerts"
            " where resolved_at is null or last_at >= %s group by 1, 2, 3 order by 4 desc",
            (since,),
        ).fetchall()
