"""Sees what no sensor can tell: that the daemon, or the sensor that finds alerts, has fallen silent."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import psycopg

from millpond.alerts.alert import Alert
from millpond.alerts.links import pages
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.runtime.databases import databases
from millpond.settings import Settings

KIND = "daemon_silent"
_SILENCE_SECONDS = 180.0
"""Dagster's daemon tells every 30 seconds that it is alive; the sensor looks every 15."""


class Watch:
    """Remembers when all was heard last, by `clock`, which stands still while the machine sleeps."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._heard_at = clock()
        self.hears = False
        """Whether all was heard at the last look; nobody has looked yet."""

    def look(self, connection: Connection) -> None:
        """Open or end the alert as it is now."""
        beats = {"the daemon's heartbeat": _heartbeat(), "the sensor `alerts`": _looked_at(connection)}
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
            run_url=pages(self._settings),
        )


def _heartbeat() -> dt.datetime | None:
    try:
        with databases().dagster.connect() as connection:
            row = connection.execute("select max(timestamp) from daemon_heartbeats").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    last: dt.datetime | None = row[0] if row else None
    return last and last.replace(tzinfo=dt.UTC)


def _looked_at(connection: Connection) -> dt.datetime | None:
    row = connection.execute("select max(looked_at) as at from alert_cursors").fetchone()
    return row["at"] if row else None
