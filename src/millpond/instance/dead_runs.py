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
    filters = RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    for run in instance.get_runs(filters):
        if (pid := _find_dead_process(instance, run)) is not None:
            instance.report_run_failed(
                run,
                f"Process {pid}, which executed this run, is gone: it was killed, or the machine restarted.",
            )
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            closed.append(run.run_id)
    _free_slots_of_finished_runs(instance)
    return closed


def _free_slots_of_finished_runs(instance: DagsterInstance) -> None:
    """Free the slots of a process that ended after its run but before it released them."""
    storage = instance.event_log_storage
    if holders := storage.get_concurrency_run_ids():
        for run in instance.get_runs(RunsFilter(run_ids=sorted(holders))):
            if run.is_finished:
                storage.free_concurrency_slots_for_run(run.run_id)


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
