"""Detects what no sensor can: a silent daemon or alert sensor, and, from outside, a silent machine.

Millpond cannot tell that the machine it runs on is gone. The service behind MILLPOND_HEARTBEAT_URL can: it is
requested while all is well, and alerts when the requests stop."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

import psycopg

from millpond.alerts.alert import Alert
from millpond.alerts.channels.http import ask, keep_secret
from millpond.alerts.message import dagster_pages
from millpond.alerts.outbox import Connection, open_alerts, record, resolve
from millpond.errors import AlertNotSent
from millpond.runtime.databases import databases
from millpond.settings import Settings

KIND = "daemon_silent"
_SILENCE_SECONDS = 180.0
"""Dagster's daemon tells every 30 seconds that it is alive; the sensor looks every 15."""


class DaemonWatch:
    """Remembers when all was heard last, by `clock`, which stands still while the machine sleeps."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._heard_at = clock()
        self.hears = False
        """Whether all was heard at the last look; nobody has looked yet."""

    def look(self, connection: Connection) -> None:
        """Open or end the alert as it is now."""
        beats = {"the daemon's heartbeat": _heartbeat(), "the sensor `alerts`": _last_look(connection)}
        oldest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=_SILENCE_SECONDS)
        silent = {name: at for name, at in beats.items() if at is None or at < oldest}
        self.hears = not silent
        if not silent:
            self._heard_at = self._clock()
            for alert in open_alerts(connection, KIND):
                resolve(connection, alert, "Daemon and sensor are heard again.")
        elif self._clock() > self._heard_at + _SILENCE_SECONDS:
            onset = "; ".join(
                f"{name}: {f'{at:%Y-%m-%d %H:%M:%S}' if at else 'never'}" for name, at in silent.items()
            )
            with connection.transaction():
                record(connection, [self._alert(list(silent), onset)])

    def _alert(self, names: list[str], onset: str) -> Alert:
        return Alert(
            kind=KIND,
            source=f"{KIND}:{onset}",
            dedup_key=KIND,
            title=f"{' and '.join(names)} fell silent",
            reason=f"Last heard (UTC): {onset}. Nothing starts by itself now, failures are found late.",
            severity="critical",
            run_url=dagster_pages(self._settings),
        )


def _heartbeat() -> dt.datetime | None:
    try:
        with databases().dagster.connect() as connection:
            row = connection.execute("select max(timestamp) from daemon_heartbeats").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    last: dt.datetime | None = row[0] if row else None
    return last and last.replace(tzinfo=dt.UTC)


def _last_look(connection: Connection) -> dt.datetime | None:
    row = connection.execute("select max(looked_at) as at from alert_cursors").fetchone()
    return row["at"] if row else None


_LOOK_SECONDS = 1.0
_logger = logging.getLogger("millpond.alerts")


class Heartbeat:
    """The thread that asks the address as long as `is_well` says so."""

    def __init__(self, url: str, seconds: float, is_well: Callable[[], bool], stop: threading.Event) -> None:
        self._url, self._seconds, self._is_well, self._stop = url, seconds, is_well, stop
        self._refused = False
        keep_secret(url)

    @classmethod
    def of(cls, settings: Settings, is_well: Callable[[], bool], stop: threading.Event) -> Heartbeat | None:
        """Return the heartbeat, or None where no address is set."""
        url = settings.heartbeat_url
        return cls(url.get_secret_value(), settings.heartbeat_seconds, is_well, stop) if url else None

    def serve(self) -> None:
        """Beat until told to stop."""
        while not self._stop.is_set():
            well = self._is_well()
            if well:
                self.once()
            self._stop.wait(self._seconds if well else min(self._seconds, _LOOK_SECONDS))

    def once(self) -> bool:
        """Ask the address; returns whether it answered well. The log hears of the first failure in a row."""
        try:
            ask("heartbeat", "GET", self._url)
        except AlertNotSent as error:
            if not self._refused:
                _logger.warning("%s; it is tried again every %g s", error.what, self._seconds)
            self._refused = True
            return False
        if self._refused:
            _logger.info("the heartbeat is heard again")
        self._refused = False
        return True
