"""A dead man's switch: an address elsewhere is asked while all is well, and raises the alarm when that stops.

Millpond cannot tell that the machine it runs on is gone; whoever keeps the address can.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from millpond.alerts.channels.http import ask, keep_secret
from millpond.errors import AlertNotSent
from millpond.settings import Settings

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
