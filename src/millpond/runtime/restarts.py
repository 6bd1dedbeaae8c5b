"""How soon a part that ended is started again: at once, then later and later, and only so often a minute."""

from __future__ import annotations

from collections import deque

LIMIT = 5
WINDOW_SECONDS = 60.0
_FIRST_SECONDS = 0.25


class Restarts:
    """The restarts of one part; `count` is how many there were in all."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=LIMIT)
        self.count = 0
        self.exhausted = False
        """Whether the last wait was one for the minute to be over."""

    def wait(self, now: float) -> float:
        """Return how many seconds to wait before the next start, given that the part ended at `now`.

        Doubles with each restart of the last minute; after five of them, waits until the minute is over.
        """
        recent = sum(moment > now - WINDOW_SECONDS for moment in self._latest)
        self.exhausted = recent == LIMIT
        seconds = self._latest[0] + WINDOW_SECONDS - now if self.exhausted else _FIRST_SECONDS * 2**recent
        self._latest.append(now + seconds)
        self.count += 1
        return seconds
