"""Delayed calls from one thread; a timer for each would cost more than most of the calls."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Clock:
    """A thread, started with the first call, that makes calls when they are due; it ends with the process.

    A slow call delays those after it, so calls that may block need a clock of their own.
    """

    def __init__(self, name: str) -> None:
        self._name, self._numbers = name, itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._sooner = threading.Condition()
        self._thread = threading.Thread()

    def call_after(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function`, which must not raise, after `seconds`."""
        due = (time.monotonic() + seconds, next(self._numbers), function)
        with self._sooner:
            heapq.heappush(self._due, due)
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif self._due[0] is due:
                self._sooner.notify()

    def _run(self) -> None:
        while True:
            with self._sooner:
                while not self._due or (wait := self._due[0][0] - time.monotonic()) > 0:
                    self._sooner.wait(wait if self._due else None)
                _, _, function = heapq.heappop(self._due)
            function()
