"""How soon a part that ended is started again: at once, then later and later, and only so often a minute."""

from __future__ import annotations

from collections import deque

LIMIT = 5
WINDOW_SECONDS = 60.0
_FIRST_SECONDS = 0.25


class Restarts:
    """The restarts of one part; `count` is how many there were in all."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self.count = 0

    def wait(self, now: float) -> float:
        """Return how many seconds to wait before the next start, given that the part ended at `now`.

        Doubles with each restart of the last minute; after five of them, waits until the minute is over.
        """
        while self._recent and self._recent[0] <= now - WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= LIMIT:
            seconds = self._recent[0] + WINDOW_SECONDS - now
        else:
            seconds = _FIRST_SECONDS * 2 ** len(self._recent)
        self._recent.append(now + seconds)
        self.count += 1
        return seconds

    @property
    def exhausted(self) -> bool:
        """Whether the last wait was one for the minute to be over."""
        return len(self._recent) > LIMIT
