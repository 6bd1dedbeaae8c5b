"""Deliveries: claimed as part of a message, then marked as delivered or due again.

An attempt with an unknown outcome (the process was killed, the answer was lost) is repeated as the same
message.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from millpond.alerts.alert import alert_from_row
from millpond.alerts.message import Message
from millpond.alerts.outbox import Connection

_LARGEST_DIGEST = 2000

_OPEN_OUTCOME = """
    select message from alert_deliveries
    where channel = %(channel)s and state = 'pending' and uncertain and next_attempt <= clock_timestamp()
    order by id limit 1
"""
_DUE = """
    select d.id, d.action, d.alert, a.kind, told.incident from alert_deliveries d
    join alerts a on a.id = d.alert
    left join alert_deliveries told on d.action = 'resolve' and told.alert = d.alert
        and told.channel = d.channel and told.action = 'tell'
    where d.channel = %(channel)s and d.state = 'pending' and not d.uncertain
        and d.next_attempt <= clock_timestamp()
        and (d.action = 'tell' or told.state = 'delivered' and (not %(incidents)s or not exists (
            select from alert_deliveries other join alerts still on still.id = other.alert
            where other.channel = d.channel and other.incident = told.incident and other.action = 'tell'
                and still.end_routed_at is null)))
    order by d.id limit %(most)s
    for update of d skip locked
"""
_CLAIM = """
    update alert_deliveries set state = 'sending', attempts = attempts + 1,
        message = %(message)s, incident = %(incident)s
    where id = any(%(ids)s)
"""


def claim(connection: Connection, channel: str, *, incidents: bool, group_from: int) -> Message | None:
    """Return the next message for `channel`, its deliveries marked as being sent; None if nothing is due.

    `group_from` or more alerts of one kind become one message. With `incidents`, the alerts of one message
    are resolved in one message too, once all of them are resolved.
    """
    asked: dict[str, Any] = {"channel": channel, "incidents": incidents, "most": _LARGEST_DIGEST}
    with connection.transaction():
        if again := connection.execute(_OPEN_OUTCOME, asked).fetchone():
            return _claim_again(connection, channel, again["message"])
        due = connection.execute(_DUE, asked).fetchall()
        if not due:
            return None
        batch = _choose_batch(due, incidents=incidents, group_from=group_from)
        first, message = batch[0], uuid.uuid4().hex
        incident = first["incident"] if first["action"] == "resolve" and incidents else None
        incident = incident or f"millpond-{'digest-' if len(batch) > 1 else ''}{first['alert']}"
        ids = [row["id"] for row in batch]
        connection.execute(_CLAIM, {"message": message, "incident": incident, "ids": ids})
    return _build_message(connection, ids, message, repeat=False)


def _choose_batch(due: Sequence[dict[str, Any]], *, incidents: bool, group_from: int) -> list[dict[str, Any]]:
    first = due[0]
    if incidents and first["action"] == "resolve":
        return [row for row in due if row["incident"] == first["incident"]]
    alike = [row for row in due if (row["action"], row["kind"]) == (first["action"], first["kind"])]
    return alike if len(alike) >= group_from else alike[:1]


def _claim_again(connection: Connection, channel: str, message: str) -> Message:
    rows = connection.execute(
        "update alert_deliveries set state = 'sending', attempts = attempts + 1"
        " where channel = %s and message = %s and state = 'pending' returning id",
        (channel, message),
    ).fetchall()
    return _build_message(connection, [row["id"] for row in rows], message, repeat=True)


def _build_message(connection: Connection, ids: list[int], message: str, *, repeat: bool) -> Message:
    rows = connection.execute(
        "select a.*, d.action, d.incident, d.attempts from alert_deliveries d join alerts a on a.id = d.alert"
        " where d.id = any(%s) order by a.id",
        (ids,),
    ).fetchall()
    alerts = tuple(map(alert_from_row, rows))
    tries = max(row["attempts"] for row in rows)
    return Message(message, rows[0]["action"], alerts, rows[0]["incident"], repeat, tries)


def mark_delivered(connection: Connection, channel: str, message: Message) -> None:
    """Record that the channel accepted the message."""
    connection.execute(
        "update alert_deliveries set state = 'delivered', delivered_at = clock_timestamp(), last_error = '',"
        " uncertain = false where channel = %s and message = %s",
        (channel, message.id),
    )


def mark_postponed(
    connection: Connection, channel: str, message: Message, *, pause: float, error: str, uncertain: bool
) -> None:
    """Record that the channel refused the message, or may have; it is due again after `pause` seconds."""
    connection.execute(
        "update alert_deliveries set state = 'pending', last_error = %(error)s,"
        " next_attempt = clock_timestamp() + %(pause)s * interval '1 second',"
        " uncertain = uncertain or %(uncertain)s,"
        " message = case when uncertain or %(uncertain)s then message end"
        " where channel = %(channel)s and message = %(message)s",
        {
            "error": error[:1000],
            "pause": pause,
            "uncertain": uncertain,
            "channel": channel,
            "message": message.id,
        },
    )


def add_channels(connection: Connection, message: Message, channels: Sequence[str]) -> int:
    """Add deliveries of the alerts of `message` through further channels; returns how many."""
    added = connection.execute(
        "insert into alert_deliveries (alert, action, channel)"
        " select alert, 'tell', channel from unnest(%s::bigint[]) alert, unnest(%s::text[]) channel"
        " on conflict do nothing",
        ([alert.id for alert in message.alerts], list(channels)),
    )
    return added.rowcount


def take_over(connection: Connection, channel: str) -> int:
    """Make due again what was being sent when its process, or its connection, ended; returns how much.

    The caller is the one that sends through the channel, and sends nothing at this moment.
    """
    found = connection.execute(
        "update alert_deliveries set state = 'pending', uncertain = true, next_attempt = clock_timestamp(),"
        " last_error = 'the dispatcher, or its connection to Postgres, ended while it was sending'"
        " where state = 'sending' and channel = %s",
        (channel,),
    )
    return found.rowcount


def abandon_old(connection: Connection, days: float) -> int:
    """Give up deliveries that failed for `days`; `millpond alerts resend` sends them after all."""
    found = connection.execute(
        "update alert_deliveries set state = 'abandoned'"
        " where state in ('pending', 'sending') and created_at < clock_timestamp() - %s * interval '1 day'",
        (days,),
    )
    return found.rowcount
