"""The channel that is always there: Python's log, at level ERROR."""

from __future__ import annotations

import logging

from millpond.alerts.event import RunFailed


class LogChannel:
    """Writes each event as one record of the logger `millpond.alerts`."""

    name = "log"

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("millpond.alerts")

    def send(self, event: RunFailed) -> None:
        """Log the event; cannot fail."""
        checks = f" (checks: {', '.join(event.checks)})" if event.checks else ""
        self._logger.error("%s%s: %s — %s", event.title, checks, event.excerpt, event.run_url)
