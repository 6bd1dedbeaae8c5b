"""Delivers what is due on one channel, with a rate limit, retries and reconnects."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from millpond import crash_points
from millpond.alerts import deliveries
from millpond.alerts.channels import Channel
from millpond.alerts.message import Message
from millpond.alerts.outbox import Connection
from millpond.alerts.routing import Routing
from millpond.alerts.summary_report import SUMMARY, build_attachment
from millpond.errors import AlertNotSent, EmbeddedPartError
from millpond.retry import full_jitter
from millpond.runtime.databases import databases

T = TypeVar("T")
_PAUSE_SECONDS = 1.0
_logger = logging.getLogger("millpond.alerts")


class OutboxConnection:
    """Runs queries for one thread; setting `stop` ends the wait for an unreachable database."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._connection: Connection | None = None

    def try_once(self, work: Callable[[Connection], object]) -> bool:
        """Run `work` on an autocommit connection; returns whether the database was reachable."""
        return self._run(work)[0]

    def fetch(self, work: Callable[[Connection], T]) -> T | None:
        """Return what `work` returns, or None if the database was unreachable."""
        result: T | None = self._run(work)[1]
        return result

    def retry(self, work: Callable[[Connection], object]) -> None:
        """Run `work`, which must be repeatable, until the database is reachable or `stop` is set."""
        while not self.try_once(work) and not self._stop.wait(_PAUSE_SECONDS):
            pass

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _run(self, work: Callable[[Connection], Any]) -> tuple[bool, Any]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = databases().ops.connect(row_factory=dict_row, autocommit=True)
            return True, work(self._connection)
        except (psycopg.OperationalError, EmbeddedPartError) as error:
            _logger.warning("the outbox is unreachable: %s", error)
            self.close()
            return False, None


def retry_delay(tries: int, first: float, longest: float, asked: float | None) -> float:
    """Return the seconds until the next attempt: full jitter, and at least what the service requested."""
    return max(asked or 0.0, full_jitter(tries, first, longest))


@dataclass
class RateLimit:
    """A token bucket of `at_once` messages, refilled at `a_minute`."""

    a_minute: float
    at_once: int
    _left: float = field(init=False)
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._since = float(self.at_once), time.monotonic()

    def available(self) -> bool:
        """Return whether a message may be sent now."""
        now = time.monotonic()
        self._left = min(self.at_once, self._left + (now - self._since) * self.a_minute / 60)
        self._since = now
        return self._left >= 1

    def use(self) -> None:
        """Count one message."""
        self._left -= 1


_POLL_SECONDS, _FAULT_SECONDS = 0.5, 10.0


class Worker:
    """Sends the messages of one channel; `available` are the channels that are set up, for fallbacks."""

    def __init__(
        self,
        channel: Channel,
        routing: Callable[[], Routing],
        available: Collection[str],
        stop: threading.Event,
    ) -> None:
        self.name = channel.name
        self._channel, self._routing, self._available = channel, routing, available
        self._stop = stop
        self._is_settled = False
        self._outbox = OutboxConnection(stop)
        self._rate_limit = RateLimit(routing().messages_a_minute, routing().messages_at_once)
        self._free_at = 0.0

    def serve(self) -> None:
        """Deliver until `stop` is set; an error that nobody foresaw is logged, and ends no channel."""
        while not self._stop.is_set():
            try:
                if not self._may_send() or not self.once():
                    self._stop.wait(_POLL_SECONDS)
            except Exception:
                _logger.exception("channel %s: going on in %.0f s", self.name, _FAULT_SECONDS)
                self.close()
                self._stop.wait(_FAULT_SECONDS)
        self.close()

    def close(self) -> None:
        """Close the connection to the outbox; `once` opens another one."""
        self._outbox.close()

    def once(self) -> Message | None:
        """Send the next message that is due; returns it, whether it was delivered or not."""
        message = self._outbox.fetch(self._claim)
        if message is None:
            return None
        crash_points.reached("alert claimed")
        self._rate_limit.use()
        if error := self._send(message):
            self._postpone(message, error)
        else:
            crash_points.reached("alert sent")
            self._outbox.retry(lambda connection: deliveries.mark_delivered(connection, self.name, message))
        self._is_settled = True
        return message

    def _claim(self, connection: Connection) -> Message | None:
        """Claim the next message, after those of which this worker, or one before it, lost sight."""
        if not self._is_settled:
            deliveries.take_over(connection, self.name)
        self._is_settled = False
        message = deliveries.claim(
            connection, self.name, incidents=self._channel.incidents, group_from=self._routing().group_from
        )
        self._is_settled = message is None
        return message

    def _may_send(self) -> bool:
        if self.name == "log":
            return True
        return time.monotonic() >= self._free_at and self._rate_limit.available()

    def _send(self, message: Message) -> AlertNotSent | None:
        try:
            self._channel.send(self._attach(message))
        except AlertNotSent as error:
            return error
        except Exception as error:
            _logger.exception("channel %s raised an unexpected error", self.name)
            return AlertNotSent(f"{self.name} raised an unexpected error: {error!r}", uncertain=True)
        return None

    def _attach(self, message: Message) -> Message:
        """Return the message, with its report if it is a summary and alerts.yaml wants one."""
        wanted = self.name == "email" and self._routing().summary_report
        if not wanted or message.alert.kind != SUMMARY:
            return message
        return replace(message, attachment=build_attachment(message))

    def _postpone(self, message: Message, error: AlertNotSent) -> None:
        routing = self._routing()
        seconds = retry_delay(
            message.tries, routing.first_pause_seconds, routing.longest_pause_seconds, error.retry_after
        )
        if error.retry_after:
            self._free_at = time.monotonic() + min(error.retry_after, routing.longest_pause_seconds)
        _logger.warning("%s (attempt %d, next in %.0f s)", error.what, message.tries, seconds)
        self._outbox.retry(
            lambda connection: deliveries.mark_postponed(
                connection,
                self.name,
                message,
                pause=min(seconds, routing.longest_pause_seconds),
                error=error.what,
                uncertain=error.uncertain,
            )
        )
        fallback_after = routing.fallback_after.get(message.severity)
        if message.action == "tell" and fallback_after and message.tries >= fallback_after:
            others = [name for name in routing.fallback if name in self._available and name != self.name]
            self._outbox.retry(lambda connection: deliveries.add_channels(connection, message, others))
