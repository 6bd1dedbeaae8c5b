"""The tasks of maintenance, in the order in which they run: what frees files comes before the sweep of them.

What a task works with is imported when it runs, since Dagster loads this list with all definitions.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from millpond.errors import LakeError
from millpond.maintenance import retention
from millpond.maintenance.task import Line, Result, Task
from millpond.naming import MAIN_REF


def drop_old_branches(dry_run: bool) -> Result:
    """Drop audit branches that are old or belong to killed runs, and expired pins."""
    from millpond.lake import housekeeping, pins

    expired = pins.expire_pins(dry_run=dry_run)
    dropped = housekeeping.drop_old_branches(dry_run=dry_run)
    lines = [Line(ref.name, {"branches": 1}) for ref in dropped]
    return Result((*lines, Line("expired", {"pins": expired})) if expired else tuple(lines))


def close_dead_runs(dry_run: bool) -> Result:
    """Mark the runs whose process is gone as failed, and free pool slots that finished runs hold."""
    from millpond.instance.dead_runs import fail_dead_runs, find_dead_runs, find_leaked_slots
    from millpond.instance.home import open_instance

    with open_instance() as instance:
        if dry_run:
            dead = [run.run_id for run, _ in find_dead_runs(instance)]
            leaked = [run.run_id for run in find_leaked_slots(instance)]
        else:
            dead, leaked = fail_dead_runs(instance), []
    return Result(tuple(Line(run_id, {"runs": 1}) for run_id in (*dead, *leaked)))


def expire_snapshots(dry_run: bool) -> Result:
    """Drop the versions that are due of tables that no commit does it for."""
    from millpond.lake import layout

    def expire(ref: str, table: str, location: str) -> Line | None:
        due = layout.count_expired(table, location)
        changed = due and (dry_run or layout.expire(ref, table))
        return Line(_name_table(ref, table), {"snapshots": due}) if changed else None

    return _maintain_tables(expire)


def compact_files(dry_run: bool) -> Result:
    """Rewrite partitions of many small files to few, and of many files of deleted rows without these."""
    from millpond.lake import compaction

    def compact(ref: str, table: str, location: str) -> Line | None:
        plan = compaction.plan_compaction(ref, table, location)
        done = plan if plan is None or dry_run else compaction.compact(plan)
        if done is None:
            return None
        counts = {"files": done.files, "files_after": done.files_after, "delete_files": done.deletes}
        return Line(_name_table(ref, table), counts, done.freed)

    return _maintain_tables(compact)


def rewrite_manifests(dry_run: bool) -> Result:
    """Merge the manifests of tables that have many small ones."""
    from millpond.lake import layout

    def merge(ref: str, table: str, location: str) -> Line | None:
        small = layout.find_small_manifests(table, location)
        changed = small and (dry_run or layout.merge_manifests(ref, table))
        return Line(_name_table(ref, table), {"manifests": len(small)}) if changed else None

    return _maintain_tables(merge)


def remove_orphan_files(dry_run: bool, older_than: dt.timedelta | None = None) -> Result:
    """Remove the files of tables that no ref, branch base or pin leads to."""
    from millpond.lake import housekeeping, nessie

    found = housekeeping.remove_orphans(older_than, dry_run=dry_run)
    sizes = ((_name_folder(orphan.location), orphan.bytes) for orphan in found)
    return Result(_sum_by_name("files", sizes), housekeeping.NESSIE if nessie.is_used() else "")


def remove_old_deployments(dry_run: bool) -> Result:
    """Remove copies of the project that automation ran, once they were replaced more than a day ago."""
    from millpond.runtime import deployment
    from millpond.settings import settings

    gone = deployment.remove_old(settings(), dry_run=dry_run)
    return Result(tuple(Line(name, {"copies": 1}) for name in gone))


def prune_event_log(dry_run: bool) -> Result:
    """Delete what runs said on their way, and the output of their steps."""
    from millpond.instance.event_retention import prune
    from millpond.instance.home import open_instance

    with open_instance() as instance:
        events, outputs = prune(instance, dry_run=dry_run)
    return (
        Result((Line("Dagster", {"events": events, "outputs": outputs}),)) if events or outputs else Result()
    )


def reconcile_days(dry_run: bool) -> Result:  # noqa: ARG001 - it writes nothing
    """Compare the latest days in every table and mart with what their runs recorded."""
    from millpond.instance.home import open_instance
    from millpond.naming import MAIN_REF
    from millpond.quality.reconciliation import find_tables, find_window, reconcile_day
    from millpond.settings import settings

    window = find_window(settings().reconcile_days)
    if window is None:
        return Result(note="MILLPOND_RECONCILE_DAYS is 0, or no day has ended yet")
    tables, marts = find_tables()
    compared: Counter[str] = Counter()
    problems = []
    with open_instance() as instance:
        for day in window.days:
            of_last = marts if day == window.last else {}
            for line in reconcile_day(instance, tables, of_last, day, MAIN_REF):
                compared[line.asset] += line.state in ("equal", "differs")
                if line.state == "differs":
                    problems.append(
                        f"{line.asset}, {day}: {line.why}; `millpond reconcile --partition {day}` shows more"
                    )
    lines = tuple(Line(name, {"days": days}) for name, days in compared.items() if days)
    return Result(lines, problems=tuple(problems))


TASKS: tuple[Task, ...] = (
    Task(
        "close_dead_runs",
        "Marks runs whose process is gone as failed and frees the pool slots they held.",
        close_dead_runs,
    ),
    Task(
        "drop_old_branches",
        "Drops expired audit branches (MILLPOND_BRANCH_RETENTION_DAYS) and expired pins.",
        drop_old_branches,
    ),
    *retention.TASKS,
    Task(
        "expire_snapshots",
        "Drops old versions of tables that no commit changes (MILLPOND_SNAPSHOT_RETENTION_DAYS).",
        expire_snapshots,
    ),
    Task(
        "compact_files",
        "Rewrites many small files of a partition to few, and deleted rows away (MILLPOND_COMPACTION_FILES).",
        compact_files,
    ),
    Task("rewrite_manifests", "Merges many small manifests of a table to few.", rewrite_manifests),
    Task(
        "remove_orphan_files",
        "Removes files that nothing leads to (MILLPOND_ORPHAN_RETENTION_DAYS).",
        remove_orphan_files,
    ),
    Task(
        "prune_event_log",
        "Deletes logs of old runs (MILLPOND_EVENT_RETENTION_DAYS).",
        prune_event_log,
    ),
    Task(
        "remove_old_deployments",
        "Removes copies of the project that automation no longer runs.",
        remove_old_deployments,
    ),
    Task(
        "reconcile_days",
        "Compares the latest days (MILLPOND_RECONCILE_DAYS) in each table and mart with their record.",
        reconcile_days,
        check="equals_record",
    ),
)
"""A task is added here; the command, the job and its assets follow."""


def _maintain_tables(change: Callable[[str, str, str], Line | None]) -> Result:
    """Change each table by its ref, name and pointer; raises LakeError if some failed, once all are done."""
    from millpond.lake.layout import list_maintained

    lines, failed = [], []
    for ref, table, location in list_maintained():
        try:
            line = change(ref, table, location)
        except LakeError as error:
            failed.append(error)
        else:
            lines += [line] if line else []
    if failed:
        raise LakeError(
            "; ".join(error.what for error in failed),
            unharmed="these tables; the task is done for all others",
            next_step="; ".join(dict.fromkeys(error.next_step for error in failed)),
        )
    return Result(tuple(lines))


def _name_table(ref: str, table: str) -> str:
    return table if ref == MAIN_REF else f"{table} on {ref}"


def _name_folder(location: str) -> str:
    """Return layer and folder of the table that a file belongs to."""
    return "/".join(location.split("/")[-4:-2])


def _sum_by_name(what: str, sizes: Iterable[tuple[str, int]]) -> tuple[Line, ...]:
    """Return a line for each name, with how many there are and their bytes."""
    found: dict[str, list[int]] = defaultdict(list)
    for name, size in sizes:
        found[name].append(size)
    return tuple(Line(name, {what: len(each)}, sum(each)) for name, each in sorted(found.items()))
