"""How long to wait before a request is repeated: what the source asks for, else full jitter."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import FrameType

from millpond.ingestion.rest.deadline import Deadline
from millpond.retry import full_jitter
from millpond.settings import Settings

_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 15.0
ATTEMPTS = 6
_LONGEST_COUNT = 19


@dataclass(frozen=True)
class Limits:
    """How patient a load is with its source."""

    timeout: float
    budget: float
    wait: float
    body_bytes: int
    attempts: int = ATTEMPTS

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that the settings name."""
        return cls(
            timeout=settings.request_timeout_seconds,
            budget=settings.request_budget_seconds,
            wait=settings.rate_limit_wait_seconds,
            body_bytes=settings.response_max_mb * 1024 * 1024,
        )

    def of_one_try(self, seconds: float) -> Limits:
        """Return the limits of a request that is made once, for `seconds` at most, and waits for nobody."""
        seconds = min(seconds, self.timeout)
        return replace(self, timeout=seconds, budget=seconds, wait=0, attempts=1)


class Stopped(Exception):
    """Another stream of the same load has failed for good."""


class Gate:
    """What the parallel streams of one load share: a wait imposed on one holds for all, so does an end."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._open_at = 0.0
        self._running: set[Deadline] = set()

    def hold(self, seconds: float) -> None:
        """Let no request through for `seconds`."""
        self._open_at = max(self._open_at, time.monotonic() + seconds)

    def stop(self) -> None:
        """Let no request through any more, and end those under way."""
        self._stop.set()
        for deadline in list(self._running):
            deadline.expire()

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[Deadline]:
        """Yield the deadline of one request, which comes sooner if the gate is closed."""
        with Deadline(seconds) as deadline:
            self._running.add(deadline)
            try:
                if self._stop.is_set():
                    raise Stopped
                yield deadline
            finally:
                self._running.discard(deadline)

    @contextmanager
    def close_on_signals(self) -> Iterator[None]:
        """Close the gate on SIGINT and SIGTERM, then tell who listens to them; in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def closing(number: int, frame: FrameType | None) -> None:
            self.stop()
            if callable(told := before[signal.Signals(number)]):
                told(number, frame)
            elif told == signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        for number in before:
            signal.signal(number, closing)
        try:
            yield
        finally:
            for number, told in before.items():
                signal.signal(number, told)

    def wait(self, seconds: float = 0.0) -> None:
        """Return after `seconds` and when the gate is open; raises Stopped when it is closed for good."""
        until = time.monotonic() + seconds
        while (left := max(until, self._open_at) - time.monotonic()) > 0:
            if self._stop.wait(left):
                break
        if self._stop.is_set():
            raise Stopped


def backoff(attempt: int) -> float:
    """Return a random wait before attempt `attempt` + 1: up to 0.5, 1, 2, … 15 seconds (full jitter)."""
    return full_jitter(attempt, _FIRST_SECONDS, _LONGEST_SECONDS)


def read_retry_after(headers: Mapping[str, str]) -> tuple[float, str] | None:
    """Return how many seconds an answer asks to wait, and the header that says so; None if none does.

    Understands Retry-After in seconds and as a date, and X-RateLimit-Reset (seconds since 1970, or from now)
    when no requests remain. Dates count from the answer's own clock where it gives one.
    """
    now = _date(headers.get("Date")) or time.time()
    if given := headers.get("Retry-After"):
        seconds = float(given) if _is_count(given) else (_date(given) or now) - now
        if seconds > 0:
            return seconds, f"Retry-After: {given}"
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and _is_count(reset):
        seconds = float(reset) - now if float(reset) > 1e9 else float(reset)
        if seconds > 0:
            return seconds, f"X-RateLimit-Reset: {reset}"
    return None


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError):
        return None


def _is_count(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdecimal() and len(text) < _LONGEST_COUNT
