"""Records at the end of a run what its process used of the machine, so that short runs have a sample, too."""

from __future__ import annotations

import logging
import resource
import sys
import time
from typing import Final

import psycopg
from dagster import DagsterEventType

from millpond.errors import MillpondError

_ENDS: Final = (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED)
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_started: Final[dict[str, tuple[float, float]]] = {}
"""Moment and processor time of this process at the start of each run that it executes."""
_log = logging.getLogger(__name__)


def note_run_event(run_id: str, kind: DagsterEventType) -> None:
    """Begin to measure when this process starts a run, record when it ends it.

    An end that another process reports, as that of a killed run, is left out. The run does not depend on it:
    what cannot be recorded is only logged.
    """
    if kind == DagsterEventType.RUN_START:
        _started[run_id] = time.monotonic(), _measure_seconds()
    elif kind in _ENDS and (before := _started.pop(run_id, None)):
        from millpond.runtime.sampling import ENDED, Sample, store

        elapsed = max(time.monotonic() - before[0], 0.001)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        try:
            store([Sample(ENDED, (_measure_seconds() - before[1]) / elapsed, peak, run_id)])
        except (MillpondError, psycopg.Error, OSError) as error:
            _log.warning("what the run used of the machine is not recorded: %s", error)


def _measure_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
