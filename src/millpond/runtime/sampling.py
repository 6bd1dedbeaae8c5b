"""Samples what the parts of `millpond up` and its runs use of the machine."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final

import psutil
import psycopg

from millpond.errors import MillpondError
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.idle_connections import borrow
from millpond.runtime.part import Part

MACHINE, DISK, RUNS = "machine", "disk", "run"
ENDED: Final = "run, from start to end"
"""The part of the sample that a run takes of itself: average cores and largest memory."""
_SECONDS: Final = 30.0
_KEPT: Final = "7 days"
_STORE: Final = """
    with old as (delete from resource_samples where at < now() - %s::interval)
    insert into resource_samples (at, part, cores, bytes, run_id)
    select now(), * from unnest(%s::text[], %s::double precision[], %s::bigint[], %s::text[])
"""
_RUN_ID: Final = re.compile(r'"run_id": "([0-9a-f-]{36})"')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """Processor cores used since the sample before (1.5 is one and a half), and bytes of memory or disk."""

    part: str
    cores: float
    bytes: int
    run: str = ""


class Sampler:
    """Takes samples of one home; keeps the processor time of each process to compute what was used since."""

    def __init__(self, home: Home, parts: Sequence[Part]) -> None:
        self._home, self._parts = home, parts
        self._spent: dict[tuple[int, float], float] = {}
        self._taken = time.monotonic()
        psutil.cpu_percent()

    def take(self) -> list[Sample]:
        """Return a sample of each part that runs, of each of its runs, of the machine and of the disk."""
        now = time.monotonic()
        elapsed, self._taken = max(now - self._taken, 0.001), now
        roots = {process.pid: part.name for part in self._parts if (process := part.find())}
        roots[os.getpid()] = "millpond up"
        used: dict[tuple[str, str], tuple[float, int]] = {}
        spent: dict[tuple[int, float], float] = {}
        for pid, name in roots.items():
            for process, run in _walk(pid, stop_at=roots.keys() - {pid}):
                try:
                    times, memory = process.cpu_times(), process.memory_info().rss
                    key = (process.pid, process.create_time())
                except psutil.Error:  # it has just ended
                    continue
                spent[key] = times.user + times.system
                since = spent[key] - self._spent.get(key, 0.0 if self._spent else spent[key])
                of = (RUNS, run) if run else (name, "")
                cores, size = used.get(of, (0.0, 0))
                used[of] = cores + since / elapsed, size + memory
        self._spent = spent
        found = [Sample(part, cores, size, run) for (part, run), (cores, size) in used.items()]
        return [*found, *self._measure_machine()]

    def _measure_machine(self) -> Iterable[Sample]:
        cores = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
        yield Sample(MACHINE, cores, psutil.virtual_memory().used)
        yield Sample(DISK, 0.0, psutil.disk_usage(str(self._home.root)).used)


def store(samples: Iterable[Sample]) -> None:
    """Record samples with the present time, and delete those that are older than a week."""
    taken = [list(column) for column in zip(*map(astuple, samples), strict=True)] or [[]] * 4
    with borrow(databases().ops) as connection:
        connection.execute(_STORE, (_KEPT, *taken))


def keep_sampling(home: Home, parts: Sequence[Part], stopping: threading.Event) -> threading.Thread:
    """Start a thread that takes and records samples until `stopping`; what cannot be recorded is left out."""

    def work() -> None:
        sampler = Sampler(home, parts)
        while not stopping.wait(_SECONDS):
            try:
                store(sampler.take())
            except (MillpondError, psycopg.Error, OSError) as error:
                _log.warning("no sample of the machine's use: %s", error)

    thread = threading.Thread(target=work, name="sampling", daemon=True)
    thread.start()
    return thread


def _walk(pid: int, stop_at: Iterable[int]) -> Iterator[tuple[psutil.Process, str]]:
    """Yield a process and those below it, each with the run that it executes, if any.

    What is below one of `stop_at` belongs to another part.
    """
    others = set(stop_at)
    waiting = [(pid, "")]
    while waiting:
        number, run = waiting.pop()
        try:
            process = psutil.Process(number)
            run = run or _find_run(process.cmdline())
            below = process.children()
        except psutil.Error:
            continue
        yield process, run
        waiting += [(child.pid, run) for child in below if child.pid not in others]


def _find_run(command: Sequence[str]) -> str:
    """Return the run that a process executes for Dagster's launcher, from its command line."""
    found = next((match for word in command if (match := _RUN_ID.search(word))), None)
    return found.group(1) if found else ""
