"""The interface of a channel, and the one that is always set up: the log of the part `alerts`."""

from __future__ import annotations

import logging
from typing import Protocol

from millpond.alerts.alert import compose, join_lines
from millpond.alerts.message import Message


class Channel(Protocol):
    """A service that notifies people.

    One with `incidents` opens and closes them by key, and ignores duplicate messages.
    """

    @property
    def name(self) -> str:
        """What alerts.yaml calls it."""

    @property
    def incidents(self) -> bool:
        """Whether it keeps incidents."""

    def send(self, message: Message) -> None:
        """Deliver `message` within seconds; raises AlertNotSent."""


_LIMIT = 1500
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}


class LogChannel:
    """Writes each alert as one record of the logger `millpond.alerts`."""

    name = "log"
    incidents = False

    def send(self, message: Message) -> None:
        """Log each alert."""
        logger = logging.getLogger("millpond.alerts")
        for alert in message.alerts:
            if message.action == "resolve":
                logger.info("resolved %d: %s: %s", alert.id, alert.title, alert.resolution)
                continue
            checks = f" (checks: {', '.join(alert.checks)})" if alert.checks else ""
            level = _LEVELS.get(alert.severity, logging.ERROR)
            reason = join_lines(compose(alert.excerpt, alert.unharmed, alert.next_step, _LIMIT))
            logger.log(level, "alert %d: %s%s: %s — %s", alert.id, alert.title, checks, reason, alert.run_url)
