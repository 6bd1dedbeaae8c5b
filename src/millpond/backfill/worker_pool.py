"""Worker processes of a backfill, which send their events over pipes and end with their parent."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from millpond.backfill import ledger_chunks as chunks
from millpond.backfill.engine import Engine
from millpond.errors import EmbeddedPartError
from millpond.instance.home import CODE_LOCATION
from millpond.runtime.children import Piped, start_piped
from millpond.runtime.home import layout
from millpond.runtime.processes import tail
from millpond.settings import settings

ENDING_SECONDS = 1.6
"""Longest time that the parent takes to end its workers."""

_WORKER_SECONDS, _POLL_SECONDS, _REPLACEMENTS = 1.2, 0.5, 3
_MODULE = "millpond.backfill.worker"


@dataclass
class _Worker:
    number: int
    process: Piped
    pipe: Connection


def work_in_processes(engine: Engine, workers: int) -> None:
    """Run a backfill with `workers` processes; `engine` forwards their events.

    A worker that dies is replaced, and its piece goes to another. Raises EmbeddedPartError when that happens
    too often. On KeyboardInterrupt, all workers have ended when this returns.
    """
    replaced = 0
    with _open_team() as team:
        for number in range(1, workers + 1):
            team.append(_start_worker(engine, number))
        while team:
            for pipe in wait([worker.pipe for worker in team], _POLL_SECONDS):
                worker = next(worker for worker in team if worker.pipe is pipe)
                try:
                    engine.tell(worker.pipe.recv())
                    continue
                except EOFError:
                    team.remove(worker)
                if worker.process.wait() == 0:
                    continue
                engine.recover()
                replaced += 1
                if replaced > _REPLACEMENTS:
                    raise _worker_error(worker)
                team.append(_start_worker(engine, worker.number))
        chunks_left, _ = chunks.count_pending(engine.backfill.id)
        if chunks_left:
            engine.recover()


@contextmanager
def _open_team() -> Iterator[list[_Worker]]:
    team: list[_Worker] = []
    try:
        yield team
    finally:
        for worker in team:
            worker.process.terminate()
        deadline = time.monotonic() + _WORKER_SECONDS
        for worker in team:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def _start_worker(engine: Engine, number: int) -> _Worker:
    limit = "" if engine.max_failures is None else str(engine.max_failures)
    arguments = [engine.backfill.id, str(number), limit]
    return _Worker(number, *start_piped(_MODULE, arguments, preload=CODE_LOCATION, log=_log_file(number)))


def _log_file(number: int) -> Path:
    return layout(settings()).logs / f"backfill-worker-{number}.log"


def _worker_error(worker: _Worker) -> EmbeddedPartError:
    log = _log_file(worker.number)
    return EmbeddedPartError(
        f"worker {worker.number} ended with exit code {worker.process.returncode}, after others did too;"
        f" its log ends:\n{tail(log)}",
        unharmed="what is done, which the ledger has recorded",
        next_step=f"read {log}, fix the cause, then `millpond backfill --resume`",
    )
