"""Detects what no sensor can: that the daemon, the sensor `alerts` or the whole machine stopped.

Millpond cannot report that its own machine is down. The service at MILLPOND_HEARTBEAT_URL can: it is
requested while everything is healthy, and alerts when the requests stop."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

import psycopg

from millpond.alerts.alert import Alert
from millpond.alerts.channels.http import keep_secret, send_request
from millpond.alerts.message import dagster_pages
from millpond.alerts.outbox import Connection, list_open_alerts, record, resolve
from millpond.errors import AlertNotSent
from millpond.runtime.databases import databases
from millpond.settings import Settings

KIND = "daemon_silent"
_SILENCE_SECONDS = 180.0
"""Dagster's daemon sends a heartbeat every 30 seconds; the sensor runs every 15."""


class DaemonWatch:
    """Tracks when all heartbeats were recent, by `clock`, which stops while the machine sleeps."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._heard_at = clock()
        self.is_healthy = False
        """Whether all heartbeats were recent at the last check; false before the first."""

    def check(self, connection: Connection) -> None:
        """Open or resolve the alert."""
        beats = {
            "the daemon's heartbeat": _read_heartbeat(),
            "the sensor `alerts`": _read_last_search(connection),
        }
        oldest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=_SILENCE_SECONDS)
        silent = {name: at for name, at in beats.items() if at is None or at < oldest}
        self.is_healthy = not silent
        if not silent:
            self._heard_at = self._clock()
            for alert in list_open_alerts(connection, KIND):
                resolve(connection, alert, "Daemon and sensor work again.")
        elif self._clock() > self._heard_at + _SILENCE_SECONDS:
            onset = "; ".join(
                f"{name}: {f'{at:%Y-%m-%d %H:%M:%S}' if at else 'never'}" for name, at in silent.items()
            )
            with connection.transaction():
                record(connection, [self._build_alert(list(silent), onset)])

    def _build_alert(self, names: list[str], onset: str) -> Alert:
        return Alert(
            kind=KIND,
            source=f"{KIND}:{onset}",
            dedup_key=KIND,
            title=f"{' and '.join(names)} stopped",
            reason=f"Last seen (UTC): {onset}. No automatic run starts, and failures are found late.",
            severity="critical",
            run_url=dagster_pages(self._settings),
        )


def _read_heartbeat() -> dt.datetime | None:
    try:
        with databases().dagster.connect() as connection:
            row = connection.execute("select max(timestamp) from daemon_heartbeats").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    last: dt.datetime | None = row[0] if row else None
    return last and last.replace(tzinfo=dt.UTC)


def _read_last_search(connection: Connection) -> dt.datetime | None:
    row = connection.execute("select max(looked_at) as at from alert_cursors").fetchone()
    return row["at"] if row else None


_POLL_SECONDS = 1.0
_logger = logging.getLogger("millpond.alerts")


class Heartbeat:
    """The thread that requests the address while `is_healthy` returns true."""

    def __init__(
        self, url: str, seconds: float, is_healthy: Callable[[], bool], stop: threading.Event
    ) -> None:
        self._url, self._seconds, self._is_healthy, self._stop = url, seconds, is_healthy, stop
        self._refused = False
        keep_secret(url)

    @classmethod
    def of(
        cls, settings: Settings, is_healthy: Callable[[], bool], stop: threading.Event
    ) -> Heartbeat | None:
        """Return the heartbeat, or None if no address is set."""
        url = settings.heartbeat_url
        return cls(url.get_secret_value(), settings.heartbeat_seconds, is_healthy, stop) if url else None

    def serve(self) -> None:
        """Request the address at intervals until `stop` is set."""
        while not self._stop.is_set():
            healthy = self._is_healthy()
            if healthy:
                self.once()
            self._stop.wait(self._seconds if healthy else min(self._seconds, _POLL_SECONDS))

    def once(self) -> bool:
        """Request the address; returns whether that succeeded. The first failure in a row is logged."""
        try:
            send_request("heartbeat", "GET", self._url)
        except AlertNotSent as error:
            if not self._refused:
                _logger.warning("%s; trying again every %g s", error.what, self._seconds)
            self._refused = True
            return False
        if self._refused:
            _logger.info("the heartbeat works again")
        self._refused = False
        return True
