"""Runs all parts of a home, which is `millpond up`, and rotates their logs."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from millpond.errors import AlreadyUp
from millpond.runtime.children import end_supervised
from millpond.runtime.dashboard_part import build_dashboard_part
from millpond.runtime.down import SUPERVISOR, stop_parts
from millpond.runtime.home import Home, exclusive, layout
from millpond.runtime.keeper import Keeper
from millpond.runtime.part import Board, Part, Status, Tell
from millpond.runtime.ports import refuse_taken
from millpond.runtime.processes import Process, find_process, register, start_time
from millpond.runtime.sampling import keep_sampling
from millpond.runtime.shared_parts import build_shared_parts
from millpond.runtime.superset import build_superset_parts
from millpond.runtime.supervised_parts import build_alerts_part, build_dagster_parts, dagster_url
from millpond.runtime.warm_parts import build_warm_parts
from millpond.settings import Settings

LIMIT_BYTES = 10_000_000
KEEP = 3


def rotate_logs(folder: Path, limit: int = LIMIT_BYTES, keep: int = KEEP) -> list[Path]:
    """Move the content of each log in `folder` that is larger than `limit` bytes to `<log>.1`.

    `<log>.1` becomes `<log>.2` and so on up to `keep`; the oldest is deleted. Returns the rotated logs.
    """
    grown = [log for log in sorted(folder.glob("*.log")) if log.stat().st_size > limit]
    for log in grown:
        for age in range(keep, 1, -1):
            younger = _rotation_path(log, age - 1)
            if younger.exists():
                younger.replace(_rotation_path(log, age))
        unfinished = log.with_name(f"{log.name}.new")
        shutil.copy2(log, unfinished)
        os.truncate(log, 0)
        unfinished.replace(_rotation_path(log, 1))
    return grown


def _rotation_path(log: Path, age: int) -> Path:
    return log.with_name(f"{log.name}.{age}")


_POLL_SECONDS = 0.2
_ROTATE_SECONDS = 2.0


def build_parts(settings: Settings, home: Home) -> list[Part]:
    """Return the parts of `millpond up` for these settings."""
    return [
        *build_shared_parts(settings, home),
        *build_dagster_parts(settings, home),
        *build_warm_parts(settings, home),
        build_alerts_part(settings, home),
        *([build_dashboard_part(settings, home)] if settings.dashboard else []),
        *build_superset_parts(settings, home),
    ]


def supervise(settings: Settings, tell: Tell, refuse: Callable[[], None] = lambda: None) -> None:
    """Run all parts until SIGINT, SIGTERM or SIGHUP, then stop them; must be called in the main thread.

    Raises AlreadyUp if this home has a running supervisor, PortTaken if a configured port is in use, what
    `refuse` raises before the first start, and the error of a part's first start; then nothing is left
    running.
    """
    home = layout(settings)
    _register(settings, home)
    with _catch_signals() as received:
        end_supervised(home)
        parts = build_parts(settings, home)
        _refuse_taken_ports(parts)
        try:
            refuse()
        except Exception:
            stop_parts(home)
            raise
        statuses = [
            Status(
                p.name,
                address=p.address_of(None),
                log=str(p.log_in(home.logs)),
                optional=p.optional,
            )
            for p in parts
        ]
        board, stopping = Board(home, statuses, tell), threading.Event()
        keepers = [Keeper(part, home, board, stopping) for part in parts]
        try:
            for keeper in keepers:
                keeper.start()
            keep_sampling(home, parts, stopping)
            failure = _wait(home, keepers, received)
        finally:
            board.say("stopping")
            stopping.set()
            end_supervised(home)
            for keeper in keepers:
                keeper.hold()
            stop_parts(home)
            for keeper in keepers:
                keeper.release()
            board.clear()
            board.say("all parts are stopped")
    if failure:
        raise failure


def _wait(home: Home, keepers: Sequence[Keeper], received: list[int]) -> BaseException | None:
    rotated = 0.0
    while not received:
        if failure := next((keeper.failure for keeper in keepers if keeper.failure), None):
            return failure
        if time.monotonic() > rotated + _ROTATE_SECONDS:
            rotate_logs(home.logs)
            rotated = time.monotonic()
        time.sleep(_POLL_SECONDS)
    return None


@contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """Yield the list that signals to stop are appended to, in place of their usual effect."""
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {n: signal.signal(n, receive) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _register(settings: Settings, home: Home) -> None:
    with exclusive(home.run / f"{SUPERVISOR}.lock", doing="starting millpond up"):
        if other := find_process(home, SUPERVISOR):
            raise AlreadyUp(
                f"`millpond up` is already running for {home.root} "
                f"(process {other.pid}, Dagster at {dagster_url(settings)})",
                unharmed="the running parts",
                next_step="`millpond status` shows its parts, `millpond down` stops it",
            )
        began = start_time(os.getpid())
        assert began is not None
        register(home, Process(SUPERVISOR, os.getpid(), began, 0))


def _refuse_taken_ports(parts: Sequence[Part]) -> None:
    for part in parts:
        running = part.find()
        if part.port and part.setting and (running is None or running.port != part.port):
            refuse_taken(part.port, part.setting)
