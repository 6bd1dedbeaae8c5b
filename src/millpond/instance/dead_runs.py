"""Marks runs whose process died as failed, which frees their pool slots."""

from __future__ import annotations

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from millpond.instance.run_processes import find_process


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
    found = find_process(instance, run)
    return found[0] if found and not found[1] else None
