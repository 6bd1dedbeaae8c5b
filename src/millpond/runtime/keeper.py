"""Keeps one part running: starts it, checks its health, restarts it when it ends or hangs."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace

from millpond.errors import MillpondError
from millpond.redaction import excerpt
from millpond.runtime import processes
from millpond.runtime.home import Home
from millpond.runtime.part import DOWN, STARTING, UP, Board, Health, Part, check_health
from millpond.runtime.processes import Process

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


_LOOK_SECONDS = 0.2
_ASK_SECONDS = 5.0
_END_SECONDS = 10.0


class Keeper(threading.Thread):
    """The thread that keeps one part; `failure` is what kept the part from its first start."""

    def __init__(self, part: Part, home: Home, board: Board, stopping: threading.Event) -> None:
        super().__init__(name=part.name, daemon=True)
        self.failure: BaseException | None = None
        self._part, self._home, self._board = part, home, board
        self._stopping, self._over = stopping, threading.Event()
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._restarts = Restarts()

    def run(self) -> None:
        """Keep the part until told to stop, then wait for `release`."""
        try:
            while not self._stopping.is_set():
                why = self._start_and_watch()
                if not self._stopping.is_set():
                    self._pause(why)
        except BaseException as error:
            self.failure = error
            if not isinstance(error, MillpondError):
                raise
        finally:
            # The kernel tells a child to end when the thread that made it ends.
            self._over.wait()

    def hold(self) -> None:
        """Start nothing from now on; returns once a start in progress is done. `stopping` must be set."""
        self._starting.acquire()

    def release(self) -> None:
        """Let the thread end; the part must have ended."""
        with suppress(subprocess.TimeoutExpired):
            if self._child:
                self._child.wait(_END_SECONDS)
        self._over.set()
        self.join(_END_SECONDS)

    def _start_and_watch(self) -> str:
        began = time.monotonic()
        try:
            with self._starting:
                if self._stopping.is_set():
                    return ""
                self._board.report(self._part.name, "starts", state=STARTING, note="")
                child = self._child = self._part.start()
        except MillpondError as error:
            if not self._restarts.count:
                raise
            return error.what
        process = self._part.find()
        if process is None:
            return self._how_it_ended(child)
        self._board.report(
            self._part.name,
            "runs",
            pid=process.pid,
            since=process.started,
            address=self._part.address_of(process),
        )
        return self._watch(process, child, began)

    def _watch(self, process: Process, child: subprocess.Popen[bytes] | None, began: float) -> str:
        was_up, bad_since, ask_at = False, time.monotonic(), 0.0
        while not self._stopping.wait(_LOOK_SECONDS):
            if _is_over(process, child):
                return self._how_it_ended(child)
            if time.monotonic() < ask_at:
                continue
            health = check_health(self._part, process)
            if self._stopping.is_set() or _is_over(process, child):
                continue
            self._report(process, health, was_up, time.monotonic() - began)
            if health.state == UP or not health.mendable or (was_up and health.state == STARTING):
                ask_at = bad_since = time.monotonic() + _ASK_SECONDS
            elif (seconds := time.monotonic() - bad_since) > (
                self._part.silence_seconds if was_up else self._part.start_seconds
            ):
                both = (signal.SIGTERM, signal.SIGKILL)
                processes.end_process(process.pid, process.started, both, _END_SECONDS)
                if child:
                    child.wait()
                return f"did not work for {seconds:.0f} s ({health.note}) and was ended"
            was_up = was_up or health.state == UP
        return ""

    def _report(self, process: Process, health: Health, was_up: bool, seconds: float) -> None:
        if health.state == UP:
            if not process.ready:
                processes.register(self._home, replace(process, ready=True))
            where = self._part.address_of(process)
            words = f"is up{f' at {where}' if where else ''} after {seconds:.1f} s"
            self._board.report(self._part.name, words, state=UP, note="")
        elif not health.mendable or (was_up and health.state != STARTING):
            words = f"is unhealthy: {health.note}"
            self._board.report(self._part.name, words, state=health.state, note=health.note)

    def _pause(self, why: str) -> None:
        seconds = self._restarts.wait(time.monotonic())
        note = f"{why}; starts again in {seconds:.1f} s"
        if self._restarts.exhausted:
            note = (
                f"{why}; after {LIMIT} restarts within a minute the next one is in {seconds:.0f} s; "
                f"the reason may be at the end of {self._home.logs / self._part.name}.log"
            )
        count = self._restarts.count
        self._board.report(self._part.name, note, state=DOWN, pid=None, since=None, note=note, restarts=count)
        self._stopping.wait(seconds)

    def _how_it_ended(self, child: subprocess.Popen[bytes] | None) -> str:
        if child is None:
            return "ended"
        code = child.wait()
        if code < 0:
            return f"was killed ({signal.Signals(-code).name})"
        last_words = excerpt(processes.tail(self._home.logs / f"{self._part.name}.log", lines=1))
        return f"ended with exit code {code} ({last_words})"


def _is_over(process: Process, child: subprocess.Popen[bytes] | None) -> bool:
    return child.poll() is not None if child else not process.alive
