"""One session of a backfill, from start or resume to its end.

Ctrl-C, SIGTERM and `millpond backfill cancel` end it within two seconds. Every write is one atomic commit, so
an interrupt is safe anywhere. A run that is inside a library for longer than the grace ends with the
process."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

import dagster as dg
import psycopg

from millpond import crash_points
from millpond.backfill import ledger
from millpond.backfill.engine import Engine, WorkerEvent
from millpond.backfill.ledger import Backfill, BackfillState
from millpond.backfill.ledger_access import HEARTBEAT_SECONDS
from millpond.backfill.worker_pool import ENDING_SECONDS, work_in_processes
from millpond.errors import BackfillNotFound, ConfigError, MillpondError
from millpond.runtime.databases import databases

GRACE_SECONDS, _LAST_WORDS_SECONDS, _WATCH_SECONDS = 0.8, 1.0, 0.5
INTERRUPTED = 130
"""Exit code of a process that was interrupted by Ctrl-C."""

_log = logging.getLogger(__name__)


class Stop:
    """Turns a request to stop into a KeyboardInterrupt in the main thread, within the block.

    `on_asked` is called at once. If the block does not end in time, `on_late` is called and the process ends.
    With `backfill`, its heartbeat is written, and a stop requested in the ledger counts too.
    """

    def __init__(
        self,
        on_late: Callable[[], None],
        on_asked: Callable[[], None] = lambda: None,
        *,
        backfill: str | None = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._on_late, self._on_asked, self._backfill, self._grace = on_late, on_asked, backfill, grace
        self._over = threading.Event()
        self._connection: psycopg.Connection[object] | None = None
        self.cancelled = False

    def __enter__(self) -> Stop:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._handlers = {n: signal.signal(n, _interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
        self._thread = threading.Thread(target=self._watch, name="backfill-stop", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._sender.close()
        self._thread.join()
        self._receiver.close()
        if self._connection:
            self._connection.close()

    def _watch(self) -> None:
        beat_at = 0.0
        while not self._over.is_set():
            ready, _, _ = select.select([self._receiver], [], [], _WATCH_SECONDS)
            if ready and set(self._receiver.recv(64)) & {signal.SIGINT, signal.SIGTERM}:
                self._end_in_time()
                return
            if self._backfill and not self._over.is_set():
                beat = time.monotonic() >= beat_at
                if self._is_asked_to_stop(self._backfill, beat=beat):
                    self.cancelled = True
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                if beat:
                    beat_at = time.monotonic() + HEARTBEAT_SECONDS

    def _end_in_time(self) -> None:
        asked_at = time.monotonic()
        self._on_asked()
        if self._over.wait(self._grace - (time.monotonic() - asked_at)):
            return
        words = threading.Thread(target=self._on_late, daemon=True)
        words.start()
        words.join(_LAST_WORDS_SECONDS)
        os._exit(INTERRUPTED)

    def _is_asked_to_stop(self, backfill: str, *, beat: bool) -> bool:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = databases().ops.connect(autocommit=True)
            if beat:
                self._connection.execute(
                    "update backfills set heartbeat = clock_timestamp() where id = %s", (backfill,)
                )
            row = self._connection.execute(
                "select stop_asked from backfills where id = %s", (backfill,)
            ).fetchone()
        except (psycopg.Error, MillpondError) as error:
            _log.warning("the ledger of backfills is unreachable: %s", error)
            self._connection = None
            return False
        return bool(row and row[0])  # type: ignore[index]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_CANCEL_SECONDS, _POLL_SECONDS = 10.0, 0.1


def run_backfill(
    backfill: str,
    *,
    instance: dg.DagsterInstance,
    tell: Callable[[WorkerEvent], None] = lambda _: None,
    definitions: dg.Definitions | None = None,
    parallel: int = 1,
    max_failures: int | None = None,
    on_stop: Callable[[], None] = lambda: None,
    last_words: Callable[[Backfill], None] = lambda _: None,
) -> Backfill:
    """Run the pieces of a backfill of this process and return its final state.

    Ctrl-C ends it within two seconds, as does `cancel` from another process; `on_stop` is called first. If a
    library blocks, the process ends after `last_words`. Call it in the main thread.
    """
    began, state = time.monotonic(), BackfillState.INTERRUPTED
    engine = Engine(get_backfill(backfill), instance, tell, definitions, max_failures)

    def late() -> None:
        engine.break_off()
        ledger.end(backfill, _choose_end_state(stop), time.monotonic() - began)
        last_words(get_backfill(backfill))

    grace = ENDING_SECONDS if parallel > 1 else GRACE_SECONDS
    with Stop(late, on_stop, backfill=backfill, grace=grace) as stop:
        try:
            if parallel > 1:
                work_in_processes(engine, parallel)
            else:
                engine.work()
            state = BackfillState.FAILED if get_backfill(backfill).unfinished else BackfillState.DONE
            crash_points.reached("backfill.worked_off")
        except KeyboardInterrupt:
            state = _choose_end_state(stop)
            engine.recover()
        finally:
            ledger.end(backfill, state, time.monotonic() - began)
    return get_backfill(backfill)


def get_backfill(backfill: str) -> Backfill:
    """Return a backfill by its id. Raises BackfillNotFound."""
    if existing := ledger.get(backfill):
        return existing
    raise BackfillNotFound(
        f"there is no backfill {backfill!r}", next_step="`millpond backfill list` shows all backfills"
    )


def cancel(backfill: str) -> Backfill:
    """Stop a backfill, in whichever process it runs, and return its state.

    Raises BackfillNotFound; ConfigError if it is not running.
    """
    existing = get_backfill(backfill)
    if existing.state not in (BackfillState.RUNNING, BackfillState.INTERRUPTED):
        raise ConfigError(
            f"backfill {backfill} is not running: it is {existing.state}",
            next_step="`millpond backfill list` shows which one is running",
        )
    if not existing.alive:
        ledger.mark_cancelled(backfill)
        return get_backfill(backfill)
    ledger.request_stop(backfill)
    deadline = time.monotonic() + _CANCEL_SECONDS
    while (existing := get_backfill(backfill)).alive and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return existing


def _choose_end_state(stop: Stop) -> BackfillState:
    return BackfillState.CANCELLED if stop.cancelled else BackfillState.INTERRUPTED
