"""Announces changes of Dagster's queue of runs to its daemon, which then looks at the queue at once.

Dagster's own daemon looks every `dequeue_interval_seconds`, and a person or a sensor waits for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

import psycopg
from dagster import DagsterEventType
from sqlalchemy import Connection, text

from millpond.errors import EmbeddedPartError
from millpond.runtime.databases import databases

_CHANNEL: Final = "millpond_queue"
_NOTIFY: Final = text(f"NOTIFY {_CHANNEL}")
CHANGES: Final = frozenset(
    {
        DagsterEventType.PIPELINE_ENQUEUED,
        DagsterEventType.PIPELINE_SUCCESS,
        DagsterEventType.PIPELINE_FAILURE,
        DagsterEventType.PIPELINE_CANCELED,
    }
)
"""Events of a run that enters the queue, or that makes room for another."""


def announce_change(connection: Connection) -> None:
    """Tell the daemon of this home, wherever it runs, that the queue has changed."""
    connection.execute(_NOTIFY)


class Announcements:
    """What is announced to this process; only one thread may use it."""

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> bool:
        """Return whether a change was announced within `seconds` or since the last call.

        The first call, and the first after a lost connection, returns True at once: what was announced before
        is not known. Without a server it waits for the whole time.
        """
        try:
            if self._connection is None:
                self._connection = databases().dagster.connect_as_it_is()
                self._connection.execute(f"LISTEN {_CHANNEL}")
                return True
            return bool(list(self._connection.notifies(timeout=seconds, stop_after=1)))
        except (psycopg.Error, EmbeddedPartError):
            self.close()
            time.sleep(seconds)
            return False

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None
