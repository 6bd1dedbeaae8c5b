"""The tasks of retention: what is over goes from tables, records and staging; see docs/retention.md."""

from __future__ import annotations

from collections import defaultdict

from millpond.maintenance.task import Line, Result, Task


def prune_history(dry_run: bool) -> Result:
    """Delete records of what is over, and vacuum the tables that they were in."""
    from millpond.instance.state_retention import prune_state, vacuum

    found = prune_state(dry_run=dry_run)
    if not dry_run:
        vacuum()
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in found:
        totals[each.table][0] += each.count
        totals[each.table][1] += each.bytes
    return Result(tuple(Line(table, {"rows": rows}, size) for table, (rows, size) in totals.items() if rows))


def empty_staging(dry_run: bool) -> Result:
    """Remove what killed loads left in staging a day ago or earlier."""
    from millpond.runtime.leftovers import remove_leftovers
    from millpond.settings import settings

    gone = remove_leftovers(settings().staging, dry_run=dry_run)
    return Result(tuple(Line(name, {"folders": 1}, size) for name, size in gone))


def expire_quarantine(dry_run: bool) -> Result:
    """Remove rows that waited in quarantine for longer than MILLPOND_QUARANTINE_RETENTION_DAYS."""
    from millpond.ingestion.quarantine_retention import expire_rows

    found = expire_rows(dry_run=dry_run)
    return Result(tuple(Line(f"{table} {days}", {"rows": rows}) for table, days, rows in found))


def expire_days(dry_run: bool) -> Result:
    """Remove the days of tables that are older than the retention that they declare."""
    import importlib

    from millpond.instance.home import CODE_LOCATION
    from millpond.runs.expiry import expire_tables

    found = expire_tables(importlib.import_module(CODE_LOCATION).defs, dry_run=dry_run)
    return Result(tuple(Line(f"{each.table} {each.days}", {"rows": each.rows}) for each in found))


TASKS: tuple[Task, ...] = (
    Task(
        "expire_days",
        "Removes days that are older than the retention of their table, and publishes the marts again.",
        expire_days,
    ),
    Task(
        "expire_quarantine",
        "Removes rows in quarantine that nobody decided about (MILLPOND_QUARANTINE_RETENTION_DAYS).",
        expire_quarantine,
    ),
    Task(
        "prune_history",
        "Deletes records of what is over (MILLPOND_HISTORY_RETENTION_DAYS), and vacuums their tables.",
        prune_history,
    ),
    Task("empty_staging", "Removes what killed loads left behind a day ago or earlier.", empty_staging),
)
