"""The parent of the processes that runs and commands are forked from: it forks them again when they end.

It has the code loaded but no definitions, so that either can be forked from it at any time. Commands read the
project as it is when they begin, and the process that runs are forked from loads it once.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from millpond.runtime.child import end_with_parent
from millpond.runtime.ending import free_locks
from millpond.runtime.keeper import Restarts
from millpond.runtime.processes import Process, find_recorded, forget, record, start_time
from millpond.runtime.warm_client import COMMAND_SERVER, RUN_SERVER


class Fork:
    """One process that is forked again, later and later, unless it ends with 0."""

    def __init__(self, name: str) -> None:
        self.name, self.pid, self.due = name, 0, math.inf
        self.handle = -1
        """Becomes readable when the process ends."""
        self._restarts = Restarts()

    def begin(self) -> bool:
        """Fork; returns whether this is the new process, which ends with its parent."""
        parent = os.getpid()
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            end_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            return True
        self.pid, self.handle, self.due = pid, os.pidfd_open(pid), math.inf
        return False

    def reap(self) -> int:
        """Return the exit code of the process, which has ended, negative for a signal."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.handle)
        self.pid, self.handle = 0, -1
        if code:
            seconds = self._restarts.wait(time.monotonic())
            self.due = time.monotonic() + seconds
            how = f"ended with exit code {code}" if code > 0 else f"was killed ({signal.Signals(-code).name})"
            sys.stderr.write(f"{self.name} {how}; it is forked again in {seconds:.1f} s\n")
            sys.stderr.flush()
        return code


class WarmParent:
    """Keeps both running; `folder` is where they are recorded, None without `millpond up`.

    `serve` answers commands; it gets the names of modules that it should import first.
    """

    def __init__(self, folder: Path | None, serve: Callable[[Sequence[str]], NoReturn]) -> None:
        self._folder, self._serve, self._began = folder, serve, start_time(os.getpid()) or 0.0
        self._runs, self._commands = Fork(RUN_SERVER), Fork(COMMAND_SERVER)
        self._names, self._read = -1, bytearray()
        self._modules: list[str] | None = None
        self._told_to_end = False

    def fork_runs(self) -> int:
        """Return in the process that runs are forked from, and stay in this one until that ends with 0.

        It returns a descriptor, to which that process writes the modules that it imported meanwhile. Told to
        end, this one forks nothing again, and ends after that: with it, runs would be killed as they stop.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._be_told_to_end)
        self._runs.due = 0.0
        while True:
            if self._told_to_end and not self._runs.pid:
                self._end(0)
            if self._runs.due <= time.monotonic():
                self._names, writer = os.pipe()
                self._read.clear()
                if self._runs.begin():
                    os.close(self._names)
                    return writer
                os.close(writer)
                self._record(ready=False)
            if self._commands.due <= time.monotonic():
                if self._told_to_end or self._is_replaced():
                    self._commands.due = math.inf
                elif self._commands.begin():
                    self._serve(self._modules or ())
            self._wait()

    def _wait(self) -> None:
        """Wait until a process ends, has something to say, or is due."""
        poll = select.poll()
        for number in (self._names, self._runs.handle, self._commands.handle):
            if number >= 0:
                poll.register(number, select.POLLIN)
        due = min(self._runs.due, self._commands.due)
        left = None if due == math.inf else 1000 * max(due - time.monotonic(), 0) + 1
        ready = {number for number, _ in poll.poll(left)}
        if self._runs.handle in ready:
            runs = self._runs.pid
            if self._runs.reap() == 0 or self._told_to_end:
                self._end(runs)
            if self._names >= 0:
                os.close(self._names)
                self._names = -1
        elif self._names in ready:
            self._read_names()
        if self._commands.handle in ready:
            self._commands.reap()

    def _be_told_to_end(self, *_: object) -> None:
        self._told_to_end = True

    def _end(self, runs: int) -> NoReturn:
        """End, and have nobody take that for a failure: a reload has started others, or all ends."""
        if self._folder:
            forget(self._folder, RUN_SERVER, runs)
            forget(self._folder, COMMAND_SERVER, self._commands.pid)
        free_locks()
        os._exit(0)

    def _read_names(self) -> None:
        if data := os.read(self._names, 1 << 16):
            self._read += data
            return
        os.close(self._names)
        self._names = -1
        self._record(ready=True)
        if self._modules is None:
            self._modules = self._read.decode().split()
            if self._folder:
                self._commands.due = 0.0

    def _is_replaced(self) -> bool:
        """Return whether a code server that was started later has such processes; runs may keep this one."""
        last = find_recorded(self._folder, RUN_SERVER) if self._folder else None
        return last is not None and last.pid != self._runs.pid and last.started > self._began

    def _record(self, *, ready: bool) -> None:
        if self._folder and not self._is_replaced():
            pid = self._runs.pid
            record(self._folder, Process(RUN_SERVER, pid, start_time(pid) or 0.0, 0, ready))
