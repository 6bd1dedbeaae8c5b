"""What `millpond alerts` does: list, show, close, resend and silence alerts, and test a channel."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from millpond.alerts.alert import Alert, alert_from_row
from millpond.alerts.channels import channels
from millpond.alerts.message import Message, dagster_pages
from millpond.alerts.outbox import clean_text, outbox
from millpond.alerts.routing import CHANNELS
from millpond.errors import ConfigError
from millpond.settings import settings


def get_alert(number: int) -> tuple[Alert, list[dict[str, Any]]]:
    """Return an alert and its deliveries; raises ConfigError if there is no such alert."""
    with outbox() as connection:
        row = connection.execute("select * from alerts where id = %s", (number,)).fetchone()
        deliveries = connection.execute(
            "select action, channel, state, attempts, next_attempt, delivered_at, last_error"
            " from alert_deliveries where alert = %s order by id",
            (number,),
        ).fetchall()
    if row is None:
        raise ConfigError(f"there is no alert {number}", next_step="`millpond alerts list --all` shows them")
    return alert_from_row(row), deliveries


def resend(number: int) -> int:
    """Send an alert again through each of its channels; returns how many. Raises ConfigError."""
    get_alert(number)
    with outbox() as connection:
        found = connection.execute(
            "update alert_deliveries set state = 'pending', attempts = 0, next_attempt = clock_timestamp(),"
            " created_at = clock_timestamp(), message = null, uncertain = false"
            " where alert = %s and action = 'tell' and state <> 'sending'",
            (number,),
        )
        return found.rowcount


def close(number: int, reason: str, by: str) -> tuple[Alert, bool]:
    """Close an alert by hand; returns it and whether it was open. Raises ConfigError.

    Everyone it was sent to is notified. A new event of this kind opens a new alert.
    """
    get_alert(number)
    words = f"Closed by {by}{f': {reason}' if reason else ''}."
    with outbox() as connection:
        found = connection.execute(
            "update alerts set resolved_at = clock_timestamp(), resolution = %s, closed_by = %s"
            " where id = %s and resolved_at is null",
            (clean_text(words)[:1000], by, number),
        )
    return get_alert(number)[0], bool(found.rowcount)


def silence(pattern: str, span: dt.timedelta) -> tuple[dt.datetime, int]:
    """Hold back alerts that match `pattern` for `span`; returns until when, and how many open ones match."""
    from millpond.alerts.routing import matches_silence

    with outbox() as connection:
        row = connection.execute(
            "insert into alert_silences (pattern, until) values (%s, clock_timestamp() + %s) returning until",
            (pattern, span),
        ).fetchone()
        rows = connection.execute("select * from alerts where resolved_at is null").fetchall()
        fitting = [row["id"] for row in rows if matches_silence(alert_from_row(row), pattern)]
        assert row is not None
        connection.execute(
            "update alert_deliveries set state = 'silenced', next_attempt = %s"
            " where alert = any(%s) and state = 'pending' and channel <> 'log' and not uncertain",
            (row["until"], fitting),
        )
    return row["until"], len(fitting)


def list_silences() -> list[dict[str, Any]]:
    """Return the active silences, in the order in which they end."""
    with outbox() as connection:
        return connection.execute(
            "select pattern, until from alert_silences where until > now() order by until"
        ).fetchall()


def send_test(name: str) -> str:
    """Send a test alert through channel `name`; returns its title.

    Raises ConfigError if the channel is unknown or not set up, AlertNotSent if sending fails.
    """
    available = channels(settings())
    if name not in CHANNELS:
        raise ConfigError(f"{name} is not a channel", next_step=f"use one of {', '.join(CHANNELS)}")
    if name not in available:
        raise ConfigError(
            f"{name} is not set up", next_step=f"set its variables: .env.example, section Alerts, {name}"
        )
    alert = Alert(
        kind="test",
        source="test",
        dedup_key="test",
        title="test alert from Millpond",
        reason="Nothing is wrong: this was sent by `millpond alerts test`.",
        severity="info",
        run_url=dagster_pages(settings()),
        created_at=dt.datetime.now(dt.UTC),
    )
    identity = uuid.uuid4().hex
    available[name].send(Message(identity, "tell", (alert,), f"millpond-test-{identity}"))
    if available[name].incidents:
        available[name].send(Message(uuid.uuid4().hex, "resolve", (alert,), f"millpond-test-{identity}"))
    return alert.title
