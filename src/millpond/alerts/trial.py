"""A message that tries out one channel, past the outbox."""

from __future__ import annotations

import datetime as dt
import uuid

from millpond.alerts.alert import Alert
from millpond.alerts.channels import channels
from millpond.alerts.links import pages
from millpond.alerts.message import Message
from millpond.alerts.routing import CHANNELS
from millpond.errors import ConfigError
from millpond.settings import settings


def trial(name: str) -> str:
    """Send a test through channel `name`; returns its title.

    Raises ConfigError if the channel is unknown or not set up, AlertNotSent if it does not take it.
    """
    available = channels(settings())
    if name not in CHANNELS:
        raise ConfigError(f"{name} is no channel", next_step=f"there are {', '.join(CHANNELS)}")
    if name not in available:
        raise ConfigError(
            f"{name} is not set up", next_step=f"set its variables: .env.example, section Alerts, {name}"
        )
    alert = Alert(
        kind="test",
        source="test",
        dedup_key="test",
        title="this is a test of Millpond's alerts",
        reason="Nothing is wrong; somebody ran `millpond alerts test`.",
        severity="info",
        run_url=pages(settings()),
        created_at=dt.datetime.now(dt.UTC),
    )
    identity = uuid.uuid4().hex
    available[name].send(Message(identity, "tell", (alert,), f"millpond-test-{identity}"))
    if available[name].incidents:
        available[name].send(Message(uuid.uuid4().hex, "resolve", (alert,), f"millpond-test-{identity}"))
    return alert.title
