"""Work on the outbox that outlives a restart of Postgres: one connection, opened anew when it breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from millpond.alerts.tables import Connection
from millpond.errors import EmbeddedPartError
from millpond.runtime.databases import databases

T = TypeVar("T")
_PAUSE_SECONDS = 1.0
_logger = logging.getLogger("millpond.alerts")


class Rounds:
    """Runs work for one thread; `stop` ends the waiting for a database that does not come back."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._connection: Connection | None = None

    def tried(self, work: Callable[[Connection], object]) -> bool:
        """Run `work` on an autocommit connection; returns whether the database was there for it."""
        return self._run(work)[0]

    def asked(self, work: Callable[[Connection], T]) -> T | None:
        """Return what `work` returns, or None if the database was not there for it."""
        result: T | None = self._run(work)[1]
        return result

    def surely(self, work: Callable[[Connection], object]) -> None:
        """Run `work`, which may be repeated, until the database was there for it or `stop` is set."""
        while not self.tried(work) and not self._stop.wait(_PAUSE_SECONDS):
            pass

    def close(self) -> None:
        """Let go of the connection; the next work opens one again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _run(self, work: Callable[[Connection], Any]) -> tuple[bool, Any]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = databases().ops.connect(row_factory=dict_row, autocommit=True)
            return True, work(self._connection)
        except (psycopg.OperationalError, EmbeddedPartError) as error:
            _logger.warning("the outbox cannot be reached: %s", error)
            self.close()
            return False, None
