"""One sitting of a backfill: from its start or resumption to its end, in this process or several."""

from __future__ import annotations

import time
from collections.abc import Callable

import dagster as dg

from millpond import crash_points
from millpond.backfill import ledger
from millpond.backfill.engine import Engine, Told
from millpond.backfill.engine_stop import GRACE_SECONDS, Stop
from millpond.backfill.ledger import Backfill, Course
from millpond.backfill.worker_pool import ENDING_SECONDS, work_in_processes
from millpond.errors import BackfillNotFound, ConfigError

_CANCEL_SECONDS, _LOOK_SECONDS = 10.0, 0.1


def run(
    backfill: str,
    *,
    instance: dg.DagsterInstance,
    tell: Callable[[Told], None] = lambda _: None,
    definitions: dg.Definitions | None = None,
    parallel: int = 1,
    max_failures: int | None = None,
    on_stop: Callable[[], None] = lambda: None,
    last_words: Callable[[Backfill], None] = lambda _: None,
) -> Backfill:
    """Work off what a backfill of this process has to do and return how it stands then.

    Ctrl-C ends it within two seconds, as does `cancel` from elsewhere; `on_stop` hears of it first. Where a
    library does not let go, the process ends after `last_words`. Call it in the main thread.
    """
    began, course = time.monotonic(), Course.INTERRUPTED
    engine = Engine(found(backfill), instance, tell, definitions, max_failures)

    def late() -> None:
        engine.break_off()
        ledger.end(backfill, _stopped(stop), time.monotonic() - began)
        last_words(found(backfill))

    grace = ENDING_SECONDS if parallel > 1 else GRACE_SECONDS
    with Stop(late, on_stop, backfill=backfill, grace=grace) as stop:
        try:
            if parallel > 1:
                work_in_processes(engine, parallel)
            else:
                engine.work()
            course = Course.FAILED if found(backfill).unfinished else Course.DONE
            crash_points.reached("backfill.worked_off")
        except KeyboardInterrupt:
            course = _stopped(stop)
            engine.recover()
        finally:
            ledger.end(backfill, course, time.monotonic() - began)
    return found(backfill)


def found(backfill: str) -> Backfill:
    """Return a backfill by its id. Raises BackfillNotFound."""
    if existing := ledger.get(backfill):
        return existing
    raise BackfillNotFound(
        f"there is no backfill {backfill!r}", next_step="`millpond backfill list` shows those there are"
    )


def cancel(backfill: str) -> Backfill:
    """Have a backfill stop, wherever it runs, and return how it stands then.

    Raises BackfillNotFound; ConfigError if it does not run.
    """
    existing = found(backfill)
    if existing.state not in (Course.RUNNING, Course.INTERRUPTED):
        raise ConfigError(
            f"backfill {backfill} does not run: it is {existing.state}",
            next_step="`millpond backfill list` shows which one runs",
        )
    if not existing.alive:
        ledger.ended_by_cancel(backfill)
        return found(backfill)
    ledger.ask_to_stop(backfill)
    deadline = time.monotonic() + _CANCEL_SECONDS
    while (existing := found(backfill)).alive and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return existing


def _stopped(stop: Stop) -> Course:
    return Course.CANCELLED if stop.cancelled else Course.INTERRUPTED
