"""Marks runs whose process died as failed, which frees their pool slots."""

from __future__ import annotations

import socket

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from millpond.runtime.processes import start_time

HOST_TAG = "millpond/host"
"""Run tag that names the host or container in which a run started; not set when embedded."""
_CLOCK_TOLERANCE = 2.0


def fail_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark the started runs whose process is gone as failed and free their pool slots; returns their ids.

    Only runs of this host are checked, as processes of other hosts are not visible. Dagster's daemon does the
    same for runs in containers, and for all runs that exceed the maximum runtime.
    """
    closed = []
    for run, pid in find_dead_runs(instance):
        instance.report_run_failed(
            run,
            f"Process {pid}, which executed this run, is gone: it was killed, or the machine restarted.",
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        closed.append(run.run_id)
    for run in find_leaked_slots(instance):
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return closed


def find_dead_runs(instance: DagsterInstance) -> list[tuple[DagsterRun, int]]:
    """Return the started runs of this host whose process is gone, with its id."""
    filters = RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    found = ((run, _find_dead_process(instance, run)) for run in instance.get_runs(filters))
    return [(run, pid) for run, pid in found if pid is not None]


def find_leaked_slots(instance: DagsterInstance) -> list[DagsterRun]:
    """Return the finished runs that hold pool slots: their process ended before it released them."""
    holders = instance.event_log_storage.get_concurrency_run_ids()
    held = instance.get_runs(RunsFilter(run_ids=sorted(holders))) if holders else []
    return [run for run in held if run.is_finished]


def _find_dead_process(instance: DagsterInstance, run: DagsterRun) -> int | None:
    """Return the process that executed the run, if it was on this host and is dead."""
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
    is_another = began is not None and began > entry.timestamp + _CLOCK_TOLERANCE
    return pid if began is None or is_another else None
