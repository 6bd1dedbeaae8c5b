"""Delivers what is due on one channel, at the pace it bears."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from millpond import crash_points
from millpond.alerts import deliveries
from millpond.alerts.channels import Channel
from millpond.alerts.message import Message
from millpond.alerts.pace import Allowance, pause
from millpond.alerts.rounds import Rounds
from millpond.alerts.routing import Routing
from millpond.errors import AlertNotSent

_LOOK_SECONDS = 0.5
_logger = logging.getLogger("millpond.alerts")


class Worker:
    """The thread of one channel; `available` are the channels there are, for fallbacks."""

    def __init__(
        self,
        channel: Channel,
        routing: Callable[[], Routing],
        available: Collection[str],
        claimer: str,
        stop: threading.Event,
    ) -> None:
        self.name = channel.name
        self._channel, self._routing, self._available = channel, routing, available
        self._claimer, self._stop = claimer, stop
        self._rounds = Rounds(stop)
        self._allowance = Allowance(routing().messages_a_minute, routing().messages_at_once)
        self._free_at = 0.0

    def serve(self) -> None:
        """Deliver until told to stop."""
        try:
            while not self._stop.is_set():
                if not self._may() or not self.once():
                    self._stop.wait(_LOOK_SECONDS)
        finally:
            self._rounds.close()

    def once(self) -> Message | None:
        """Send the next message that is due; returns it, whether it was taken or not."""
        message = self._rounds.asked(
            lambda connection: deliveries.claim(
                connection,
                self.name,
                self._claimer,
                incidents=self._channel.incidents,
                group_from=self._routing().group_from,
            )
        )
        if message is None:
            return None
        crash_points.reached("alert claimed")
        self._allowance.use()
        if error := self._sent(message):
            self._postpone(message, error)
        else:
            crash_points.reached("alert sent")
            self._rounds.surely(lambda connection: deliveries.delivered(connection, self.name, message))
        return message

    def _may(self) -> bool:
        if self.name == "log":
            return True
        return time.monotonic() >= self._free_at and self._allowance.available()

    def _sent(self, message: Message) -> AlertNotSent | None:
        try:
            self._channel.send(message)
        except AlertNotSent as error:
            return error
        except Exception as error:
            _logger.exception("channel %s is broken", self.name)
            return AlertNotSent(f"{self.name} is broken: {error!r}", uncertain=True)
        return None

    def _postpone(self, message: Message, error: AlertNotSent) -> None:
        settled = self._routing()
        seconds = pause(
            message.tries, settled.first_pause_seconds, settled.longest_pause_seconds, error.retry_after
        )
        if error.retry_after:
            self._free_at = time.monotonic() + min(error.retry_after, settled.longest_pause_seconds)
        _logger.warning("%s (try %d, again in %.0f s)", error.what, message.tries, seconds)
        self._rounds.surely(
            lambda connection: deliveries.postponed(
                connection,
                self.name,
                message,
                pause=min(seconds, settled.longest_pause_seconds),
                error=error.what,
                uncertain=error.uncertain,
            )
        )
        patience = settled.fallback_after.get(message.severity)
        if message.action == "tell" and patience and message.tries >= patience:
            others = [name for name in settled.fallback if name in self._available and name != self.name]
            self._rounds.surely(lambda connection: deliveries.add(connection, message, others))
