"""The processes that execute runs on this host: found by the record, and ended if a run is terminated."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

from dagster import DagsterEventType, DagsterInstance, DagsterRun

from millpond.internals.dagster import RunLauncher
from millpond.runtime.processes import start_time

HOST_TAG = "millpond/host"
"""Run tag that names the host or container in which a run started; not set when embedded."""
_CLOCK_TOLERANCE = 2.0


def find_process(instance: DagsterInstance, run: DagsterRun) -> tuple[int, bool] | None:
    """Return the process that executes a run, and whether it lives; None if it is of another host."""
    if run.tags.get(HOST_TAG, socket.gethostname()) != socket.gethostname():
        return None
    records = instance.get_records_for_run(
        run.run_id, of_type=DagsterEventType.RUN_START, limit=1, ascending=False
    ).records
    if not records:
        return None
    entry = records[0].event_log_entry
    pid = entry.dagster_event.pid if entry.dagster_event else None
    if pid is None:
        return None
    began = start_time(pid)
    return pid, began is not None and began <= entry.timestamp + _CLOCK_TOLERANCE


def end_processes(instance: DagsterInstance, launcher: RunLauncher) -> RunLauncher:
    """Return `launcher`, which terminates the runs of commands too: their processes get SIGTERM.

    Dagster's own knows the runs that it launched. Others, terminated in the pages or beyond their maximum
    runtime, would only be recorded as ended, and go on.
    """
    if "terminate" in vars(launcher):
        return launcher
    terminate = launcher.terminate

    def terminate_or_end(run_id: str) -> bool:
        return terminate(run_id) or _end_process(instance, run_id)

    launcher.terminate = terminate_or_end  # type: ignore[method-assign]
    return launcher


def _end_process(instance: DagsterInstance, run_id: str) -> bool:
    """Send SIGTERM to the process of a run of this host; returns whether there was one."""
    run = instance.get_run_by_id(run_id)
    found = None if run is None or run.is_finished else find_process(instance, run)
    if found is None or not found[1]:
        return False
    with suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGTERM)
    return True
