"""How often a channel is used, and how long it is left alone after a failure."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

_DOUBLINGS = 20


def pause(tries: int, first: float, longest: float, asked: float | None) -> float:
    """Return the seconds until the next try: random up to a bound that doubles, and at least what was asked.

    This is "full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    bound = min(longest, first * 2 ** min(max(tries - 1, 0), _DOUBLINGS))
    return max(asked or 0.0, random.uniform(0, bound))  # noqa: S311 - no secret


@dataclass
class Allowance:
    """What a channel may send: `at_once` messages, refilled with `a_minute`."""

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
