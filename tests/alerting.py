"""What the tests of alerts share: alerts to tell of, a dispatcher at work, waiting for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from millpond.alerts.alert import Alert
from millpond.alerts.dispatcher import Dispatcher
from millpond.alerts.outbox import list_open_alerts, outbox, record, resolve
from millpond.settings import Settings
from waiting import until

UNROUTED = """
    select 1 from alerts where routed_at is null or resolved_at is not null and end_routed_at is null
"""
TOKEN = "T0CANARY/B0/verysecret"
OPEN = "select 1 from alert_deliveries where state in ('pending', 'sending')"
Rows = Callable[[str], list[dict[str, Any]]]
FAST = """
routes:
  - to: [slack, email, pagerduty, jira, webhook, apprise]
messages_a_minute: 6000
messages_at_once: 100
first_pause_seconds: 0.01
longest_pause_seconds: 0.05
"""


def alert(number: int, **values: Any) -> Alert:
    """Return an alert of its own."""
    given = {
        "kind": "run_failed",
        "source": f"event:{number}",
        "dedup_key": f"run:a{number}",
        "title": f"a{number} failed",
        "reason": "because",
        "assets": (f"a{number}",),
    }
    return Alert(**{**given, **values})


def put(*alerts: Alert) -> None:
    """Add alerts to the outbox."""
    with outbox() as connection:
        record(connection, alerts)


@contextmanager
def dispatching(settings: Settings) -> Iterator[None]:
    dispatcher = Dispatcher(settings)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        yield
    finally:
        dispatcher.stop()
        thread.join()


def delivered(settings: Settings, rows: Rows) -> None:
    """Dispatch until nothing is open."""
    with dispatching(settings):
        until(lambda: not rows(UNROUTED) and not rows(OPEN))


def end(*keys: str) -> None:
    with outbox() as connection:
        for found in list_open_alerts(connection, "run_failed"):
            if not keys or found.dedup_key in keys:
                resolve(connection, found, "It has succeeded since.")
