"""Events of runs that wait a moment, to be stored together."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from dagster import DagsterEventType, EventLogEntry

from millpond.internals.dagster import coerce_valid_log_level
from millpond.runtime.clock import Clock

LONGEST_WAIT = 0.5
"""Seconds after which a waiting event is stored."""

_CAN_WAIT = frozenset(
    {
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.ENGINE_EVENT,
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
        DagsterEventType.LOGS_CAPTURED,
    }
)
"""Kinds that only report progress. Materializations, failures and ends of runs do not wait."""

_patient: set[str] = set()


def let_starts_wait(steps: Iterable[str]) -> None:
    """Have the starts of these steps wait too: their code is the platform's.

    Others are stored before the step begins: it may end its process at once, and what it printed is found by
    what was recorded until then.
    """
    _patient.update(steps)


def can_wait(event: EventLogEntry) -> bool:
    """Return whether an event may be stored a moment later, together with others; log lines may."""
    if event.dagster_event is None:
        return coerce_valid_log_level(event.level) < logging.ERROR
    if event.dagster_event_type == DagsterEventType.STEP_START:
        return event.step_key in _patient
    return event.dagster_event_type in _CAN_WAIT


class EventBuffer:
    """Keeps events in order until they are stored; thread-safe."""

    def __init__(self, store: Callable[[Sequence[EventLogEntry]], None]) -> None:
        self._store = store
        self._events: list[EventLogEntry] = []
        self._lock = threading.RLock()
        atexit.register(_flush_late, weakref.ref(self))

    def add(self, event: EventLogEntry) -> None:
        """Add an event; it is stored within LONGEST_WAIT seconds."""
        with self._lock:
            self._events.append(event)
            if len(self._events) == 1:
                _clock.call_after(LONGEST_WAIT, partial(_flush_late, weakref.ref(self)))

    def flush(self, then: Sequence[EventLogEntry] = ()) -> None:
        """Store the waiting events, then the events `then`, in one transaction.

        If that fails, each is stored separately, so that an invalid one does not block others; raises the
        first error.
        """
        with self._lock:
            events, self._events = [*self._events, *then], []
            if events:
                self._store_each(events)

    def _store_each(self, events: Sequence[EventLogEntry]) -> None:
        try:
            self._store(events)
        except Exception as error:
            if len(events) == 1:
                raise
            first: Exception | None = None
            for event in events:
                try:
                    self._store([event])
                except Exception as alone:  # noqa: BLE001
                    first = first or alone
            if first is not None:
                raise first from error


def _flush_late(waiting: weakref.ref[EventBuffer]) -> None:
    try:
        if there := waiting():
            there.flush()
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"events of a run could not be stored: {error}\n")


_clock = Clock("waiting-events")
