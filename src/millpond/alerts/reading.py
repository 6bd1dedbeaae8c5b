"""The outbox as people ask for it: lists, one alert with its deliveries, silences; and what they change."""

from __future__ import annotations

import datetime as dt
from typing import Any

from millpond.alerts.alert import Alert, of_row
from millpond.alerts.recording import storable
from millpond.alerts.tables import outbox
from millpond.errors import ConfigError

_LIST = """
    select a.*, coalesce((select jsonb_object_agg(channel, state) from (
        select channel, state from alert_deliveries d where d.alert = a.id and d.action = 'tell' order by id
    ) told), '{}') as told
    from alerts a
    where (%(all)s or resolved_at is null) and kind like %(kind)s
    order by id desc limit %(limit)s
"""


def list_alerts(*, everything: bool, kind: str | None, limit: int) -> list[tuple[Alert, dict[str, str]]]:
    """Return alerts, the latest first, each with the state of its delivery by channel.

    These are the open ones or, with `everything`, those that ended as well.
    """
    with outbox() as connection:
        rows = connection.execute(_LIST, {"all": everything, "kind": kind or "%", "limit": limit}).fetchall()
    return [(of_row(row), row["told"]) for row in rows]


def one(number: int) -> tuple[Alert, list[dict[str, Any]]]:
    """Return an alert and its deliveries; raises ConfigError if there is none of that number."""
    with outbox() as connection:
        row = connection.execute("select * from alerts where id = %s", (number,)).fetchone()
        deliveries = connection.execute(
            "select action, channel, state, attempts, next_attempt, delivered_at, last_error"
            " from alert_deliveries where alert = %s order by id",
            (number,),
        ).fetchall()
    if row is None:
        raise ConfigError(f"there is no alert {number}", next_step="`millpond alerts list --all` shows them")
    return of_row(row), deliveries


def resend(number: int) -> int:
    """Have an alert told anew through each of its channels; returns how many. Raises ConfigError."""
    one(number)
    with outbox() as connection:
        found = connection.execute(
            "update alert_deliveries set state = 'pending', attempts = 0, next_attempt = clock_timestamp(),"
            " created_at = clock_timestamp(), message = null, uncertain = false"
            " where alert = %s and action = 'tell' and state <> 'sending'",
            (number,),
        )
        return found.rowcount


def close(number: int, reason: str, by: str) -> tuple[Alert, bool]:
    """Close an alert by hand; returns it and whether it was open until now. Raises ConfigError.

    Those who were notified are notified of the end. A new event of the kind opens a new alert.
    """
    one(number)
    words = f"Closed by {by}{f': {reason}' if reason else ''}."
    with outbox() as connection:
        found = connection.execute(
            "update alerts set resolved_at = clock_timestamp(), resolution = %s, closed_by = %s"
            " where id = %s and resolved_at is null",
            (storable(words)[:1000], by, number),
        )
    return one(number)[0], bool(found.rowcount)


def silence(pattern: str, span: dt.timedelta) -> tuple[dt.datetime, int]:
    """Hold back alerts that fit `pattern` for `span`; returns until when, and how many open ones fit."""
    from millpond.alerts.router import silenced

    with outbox() as connection:
        row = connection.execute(
            "insert into alert_silences (pattern, until) values (%s, clock_timestamp() + %s) returning until",
            (pattern, span),
        ).fetchone()
        rows = connection.execute("select * from alerts where resolved_at is null").fetchall()
        fitting = [row["id"] for row in rows if silenced(of_row(row), pattern)]
        assert row is not None
        connection.execute(
            "update alert_deliveries set state = 'silenced', next_attempt = %s"
            " where alert = any(%s) and state = 'pending' and channel <> 'log' and not uncertain",
            (row["until"], fitting),
        )
    return row["until"], len(fitting)


def silences() -> list[dict[str, Any]]:
    """Return the silences that hold now, those that end first first."""
    with outbox() as connection:
        return connection.execute(
            "select pattern, until from alert_silences where until > now() order by until"
        ).fetchall()
