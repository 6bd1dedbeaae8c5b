"""Keeps one part running: starts it, checks its health, restarts it if it ends or hangs."""

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
    """The restarts of one part; `count` is their total number."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=LIMIT)
        self.count = 0
        self.exhausted = False
        """Whether the last wait was for the limit of restarts per minute."""

    def wait(self, now: float) -> float:
        """Return the seconds to wait before the next start of a part that ended at `now`.

        They double with each restart within a minute; after five restarts, they last until the minute is
        over.
        """
        recent = sum(moment > now - WINDOW_SECONDS for moment in self._latest)
        self.exhausted = recent == LIMIT
        seconds = self._latest[0] + WINDOW_SECONDS - now if self.exhausted else _FIRST_SECONDS * 2**recent
        self._latest.append(now + seconds)
        self.count += 1
        return seconds


_POLL_SECONDS = 0.2
_CHECK_SECONDS = 5.0
_END_SECONDS = 10.0


class Keeper(threading.Thread):
    """The thread of one part; `failure` is the error of its first start."""

    def __init__(self, part: Part, home: Home, board: Board, stopping: threading.Event) -> None:
        super().__init__(name=part.name, daemon=True)
        self.failure: BaseException | None = None
        self._part, self._home, self._board = part, home, board
        self._stopping, self._over = stopping, threading.Event()
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._restarts = Restarts()

    def run(self) -> None:
        """Keep the part running until `stopping` is set, then wait for `release`."""
        try:
            while not self._stopping.is_set():
                if not self._part.wanted():
                    self._board.report(
                        self._part.name, "is turned off", state=DOWN, pid=None, since=None, note=""
                    )
                    self._stopping.wait(_CHECK_SECONDS)
                    continue
                why = self._start_and_watch()
                if why and not self._stopping.is_set():
                    self._pause(why)
        except BaseException as error:
            self.failure = error
            if not isinstance(error, MillpondError):
                raise
        finally:
            # The kernel ends a child when the thread that started it ends.
            self._over.wait()

    def hold(self) -> None:
        """Prevent further starts; returns once a start in progress is done. `stopping` must be set."""
        self._starting.acquire()

    def release(self) -> None:
        """End the thread; the part must have ended."""
        with suppress(subprocess.TimeoutExpired):
            if self._child:
                self._child.wait(_END_SECONDS)
        self._over.set()
        self.join(_END_SECONDS)

    def _start_and_watch(self) -> str:
        began, child = time.monotonic(), None
        if self._part.started_by:
            process = self._await_process()
            return self._report_and_watch(process, None, began) if process else ""
        try:
            with self._starting:
                if self._stopping.is_set():
                    return ""
                self._board.report(self._part.name, "is starting", state=STARTING, note="")
                child = self._child = self._part.start()
        except MillpondError as error:
            if not self._restarts.count:
                raise
            return error.what
        process = self._part.find()
        if process is None:
            return self._describe_end(child)
        return self._report_and_watch(process, child, began)

    def _await_process(self) -> Process | None:
        """Return the process of a part that another one starts, once there is one; None to stop."""
        if not self._restarts.count:
            self._board.report(self._part.name, "is starting", state=STARTING, note="")
        while not self._stopping.wait(_POLL_SECONDS):
            if process := self._part.find():
                return process
        return None

    def _is_last(self, process: Process) -> bool:
        """Return whether no other process has taken the place of this one."""
        last = self._part.find()
        return last is not None and last.pid == process.pid

    def _report_and_watch(self, process: Process, child: subprocess.Popen[bytes] | None, began: float) -> str:
        self._board.report(
            self._part.name,
            "is running",
            state=STARTING,
            note="",
            pid=process.pid,
            since=process.started,
            address=self._part.address_of(process),
        )
        return self._watch(process, child, began)

    def _watch(self, process: Process, child: subprocess.Popen[bytes] | None, began: float) -> str:
        was_up, bad_since, ask_at = False, time.monotonic(), 0.0
        while not self._stopping.wait(_POLL_SECONDS):
            if self._part.started_by and not self._is_last(process):
                return "" if process.alive else self._part.explain()  # a reload replaces it
            if _is_over(process, child):
                return self._describe_end(child)
            if time.monotonic() < ask_at:
                continue
            health = check_health(self._part, process)
            if self._stopping.is_set() or _is_over(process, child):
                continue
            self._report(process, health, was_up, time.monotonic() - began)
            if health.state == UP or not health.restartable or (was_up and health.state == STARTING):
                ask_at = bad_since = time.monotonic() + _CHECK_SECONDS
            elif (seconds := time.monotonic() - bad_since) > (
                self._part.silence_seconds if was_up else self._part.start_seconds
            ):
                both = (signal.SIGTERM, signal.SIGKILL)
                processes.end_process(process.pid, process.started, both, _END_SECONDS)
                if child:
                    child.wait()
                return f"was unhealthy for {seconds:.0f} s ({health.note}) and was ended"
            was_up = was_up or health.state == UP
        return ""

    def _report(self, process: Process, health: Health, was_up: bool, seconds: float) -> None:
        if health.state == UP:
            if not process.ready and not self._part.started_by:
                processes.register(self._home, replace(process, ready=True))
            where = self._part.address_of(process)
            words = f"is up{f' at {where}' if where else ''} after {seconds:.1f} s"
            self._board.report(self._part.name, words, state=UP, note="")
        elif not health.restartable or (was_up and health.state != STARTING):
            words = f"is unhealthy: {health.note}"
            self._board.report(self._part.name, words, state=health.state, note=health.note)

    def _pause(self, why: str) -> None:
        seconds = self._restarts.wait(time.monotonic())
        note = f"{why}; restarting in {seconds:.1f} s"
        if self._part.started_by:
            note, seconds = why, 0.0
        elif self._restarts.exhausted:
            note = (
                f"{why}; after {LIMIT} restarts within a minute, the next one is in {seconds:.0f} s; "
                f"see the end of {self._part.log_in(self._home.logs)}"
            )
        count = self._restarts.count
        self._board.report(self._part.name, note, state=DOWN, pid=None, since=None, note=note, restarts=count)
        self._stopping.wait(seconds)

    def _describe_end(self, child: subprocess.Popen[bytes] | None) -> str:
        if child is None:
            return "ended"
        code = child.wait()
        if code < 0:
            return f"was killed ({signal.Signals(-code).name})"
        last_line = excerpt(processes.tail(self._part.log_in(self._home.logs), lines=1))
        return f"ended with exit code {code} ({last_line})"


def _is_over(process: Process, child: subprocess.Popen[bytes] | None) -> bool:
    return child.poll() is not None if child else not process.alive
