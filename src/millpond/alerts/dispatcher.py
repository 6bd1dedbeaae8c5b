"""Routes new alerts from the outbox to the channels, each served by a thread of its own.

One dispatcher works in a home. What it was sending when it was killed is sent again by the next one.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

from millpond.alerts import deliveries
from millpond.alerts.channels import channels
from millpond.alerts.monitor import DaemonWatch, Heartbeat
from millpond.alerts.outbox import Connection
from millpond.alerts.routing import Routing, end_silences, read_routing, route
from millpond.alerts.worker import OutboxConnection, Worker
from millpond.errors import ConfigError
from millpond.settings import Settings

_POLL_SECONDS = 0.5
_WATCH_SECONDS = 15.0
_SILENCE_SECONDS = 60.0
_logger = logging.getLogger("millpond.alerts")


class Dispatcher:
    """Routes and delivers; calls `beat` after each successful round with the error of alerts.yaml, if any."""

    def __init__(self, settings: Settings, beat: Callable[[str], object] = lambda _: None) -> None:
        self._settings, self._beat = settings, beat
        self._file = settings.project / settings.alerts_file.expanduser()
        self._routing, self._read, self._wrong = Routing(), -1.0, ""
        self._reload_routing()
        self._stop = threading.Event()
        available = channels(settings)
        self._workers = [
            Worker(channel, lambda: self._routing, available.keys(), self._stop)
            for channel in available.values()
        ]
        self._watch, self._watched = DaemonWatch(settings), time.monotonic() - _WATCH_SECONDS
        self._round_at = 0.0
        self._heartbeat = Heartbeat.of(settings, self._is_healthy, self._stop)

    def stop(self) -> None:
        """Have `run` return once what is being sent is finished."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`; the caller ensures that no other dispatcher works in this home."""
        connection_ = OutboxConnection(self._stop)
        threads = [threading.Thread(target=each.serve, name=f"alerts {each.name}") for each in self._workers]
        if self._heartbeat:
            threads.append(threading.Thread(target=self._heartbeat.serve, name="heartbeat"))
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                if connection_.try_once(self.round):
                    self._round_at = time.monotonic()
                    self._beat(self._wrong)
                self._stop.wait(_POLL_SECONDS)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            connection_.close()

    def round(self, connection: Connection) -> None:
        """Route new alerts; at intervals, check the daemon and give up old deliveries."""
        self._reload_routing()
        if time.monotonic() > self._watched + _WATCH_SECONDS:
            self._watched = time.monotonic()
            self._watch.check(connection)
            deliveries.abandon_old(connection, self._routing.give_up_after_days)
        end_silences(connection)
        names = [worker.name for worker in self._workers]
        while route(connection, self._routing, names, dt.datetime.now(self._settings.zone)):
            pass

    def _is_healthy(self) -> bool:
        """Return whether alerts are routed, and the daemon and the sensor `alerts` are alive."""
        return time.monotonic() < self._round_at + _SILENCE_SECONDS and self._watch.is_healthy

    def _reload_routing(self) -> None:
        """Read alerts.yaml if it changed; while it is invalid, its last valid content applies."""
        changed = self._file.stat().st_mtime if self._file.exists() else 0.0
        if changed == self._read:
            return
        self._read = changed
        try:
            self._routing, self._wrong = read_routing(self._settings), ""
        except ConfigError as error:
            self._wrong = error.what
            _logger.error("%s", error)
