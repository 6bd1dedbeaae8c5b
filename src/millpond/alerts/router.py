"""From alerts to deliveries: who is told of what is new, and of what has ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from fnmatch import fnmatchcase

from millpond.alerts.alert import Alert, of_row
from millpond.alerts.routing import Routing
from millpond.alerts.tables import Connection

_AT_ONCE = 1000
_URGENT = ("error", "critical")


def route(connection: Connection, routing: Routing, available: Collection[str], now: dt.datetime) -> int:
    """Make deliveries for up to 1000 new and 1000 ended alerts; returns how many alerts these were.

    `available` are the channels that are set up; `now` is in the configured zone.
    """
    with connection.transaction():
        return _route_new(connection, routing, available, now) + _route_ended(connection)


def _route_new(connection: Connection, routing: Routing, available: Collection[str], now: dt.datetime) -> int:
    rows = connection.execute(
        "select * from alerts where routed_at is null order by id limit %s for update skip locked",
        (_AT_ONCE,),
    ).fetchall()
    if not rows:
        return 0
    silences = connection.execute("select pattern, until from alert_silences where until > now()").fetchall()
    deliveries = []
    for alert in map(of_row, rows):
        until = max((s["until"] for s in silences if silenced(alert, s["pattern"])), default=None)
        for channel in _reachable(alert, routing, available, now):
            hold = until if channel != "log" else None
            deliveries.append((alert.id, channel, "silenced" if hold else "pending", hold))
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into alert_deliveries (alert, action, channel, state, next_attempt)"
            " values (%s, 'tell', %s, %s, coalesce(%s, clock_timestamp())) on conflict do nothing",
            deliveries,
        )
    connection.execute(
        "update alerts set routed_at = clock_timestamp() where id = any(%s)", ([row["id"] for row in rows],)
    )
    return len(rows)


def _reachable(alert: Alert, routing: Routing, available: Collection[str], now: dt.datetime) -> list[str]:
    """Return the channels for an alert; what is urgent and would be in the log alone goes to the fallback."""
    found = [name for name in routing.channels(alert, now) if name in available]
    if found == ["log"] and alert.severity in _URGENT:
        found += [name for name in routing.fallback if name in available]
    return list(dict.fromkeys(found))


def _route_ended(connection: Connection) -> int:
    rows = connection.execute(
        "select id from alerts where resolved_at is not null and end_routed_at is null and routed_at is not"
        " null order by id limit %s for update skip locked",
        (_AT_ONCE,),
    ).fetchall()
    ids = [row["id"] for row in rows]
    if ids:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel)"
            " select alert, 'resolve', channel from alert_deliveries"
            " where alert = any(%s) and action = 'tell' and state not in ('silenced', 'abandoned')"
            " order by id on conflict do nothing",
            (ids,),
        )
        connection.execute("update alerts set end_routed_at = clock_timestamp() where id = any(%s)", (ids,))
    return len(ids)


def end_silences(connection: Connection) -> None:
    """Have told what was silenced and is still open after that."""
    connection.execute(
        "update alert_deliveries d set state = 'pending' from alerts a"
        " where a.id = d.alert and d.state = 'silenced' and d.next_attempt <= now() and a.resolved_at is null"
    )


def silenced(alert: Alert, pattern: str) -> bool:
    """Return whether `pattern` means this alert: by its kind, an asset, an owner or its key."""
    names = (alert.kind, *alert.assets, *alert.owners, alert.dedup_key)
    return any(fnmatchcase(name, pattern) for name in names)
