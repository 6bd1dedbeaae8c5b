"""The processes that execute runs on this host: found by the record, and ended if a run is terminated."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

import psutil
from dagster import DagsterError, DagsterEventType, DagsterInstance, DagsterRun

from millpond.internals.dagster import RunLauncher
from millpond.runtime.children import is_supervised
from millpond.runtime.home import locate
from millpond.runtime.processes import start_time
from millpond.settings import settings

HOST_TAG = "millpond/host"
"""Run tag that names the host or container in which a run started; not set when embedded."""
_CLOCK_TOLERANCE = 2.0
_KILLED_SECONDS = 10.0


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
    """Return `launcher`, which terminates all runs of this host: processes that it cannot ask get SIGTERM.

    Dagster's own knows the runs of the code server as it is now. Those of commands, and of a code server that
    was killed or restarted, would only be recorded as ended, and go on.
    """
    if "terminate" in vars(launcher):
        return launcher
    terminate = launcher.terminate

    def terminate_or_end(run_id: str) -> bool:
        try:
            return terminate(run_id) or _end_process(instance, run_id)
        except DagsterError:  # there is no code server, or one that does not know the run
            if _end_process(instance, run_id):
                return True
            raise

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


def kill_deaf_process(instance: DagsterInstance, run: DagsterRun) -> None:
    """Kill the process of a run that `millpond up` executes here, if it lives, and wait until it is gone.

    It did not end when it was told to, and must not work on when its run is called canceled. The processes of
    commands are left to the person who typed them.
    """
    found = find_process(instance, run)
    if found is None or not found[1] or found[0] == os.getpid():
        return
    if not is_supervised(locate(settings()), found[0]):
        return
    with suppress(psutil.Error):
        process = psutil.Process(found[0])
        process.kill()
        process.wait(_KILLED_SECONDS)
