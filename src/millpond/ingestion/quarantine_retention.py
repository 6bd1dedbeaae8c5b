"""Rows that nobody decided about leave quarantine after a time: whole days, in one commit."""

from __future__ import annotations

import datetime as dt

import pyarrow.compute as pc

from millpond.lake import read
from millpond.lake.removal import find_window_column, remove_days
from millpond.naming import MAIN_REF
from millpond.partitions import Window, contiguous
from millpond.settings import settings

RUN = "quarantine retention"
_LAYER, _LOADED = "quarantine.", "_loaded_at"


def expire_rows(*, dry_run: bool = False) -> list[tuple[str, Window, int]]:
    """Remove the days of quarantine that were last written before the retention; on main, in one commit.

    Returns table, days and number of rows. What is replayed, discarded or loaded again leaves quarantine
    earlier. `millpond undo` of the commit brings the rows back while its versions are there.
    """
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=settings().quarantine_retention_days)
    due: dict[str, dict[dt.date, int]] = {}
    for table in read.list_tables(MAIN_REF):
        column = find_window_column(MAIN_REF, table) if table.startswith(_LAYER) else None
        if column is None:
            continue
        rows = read.scan(MAIN_REF, table, columns=[column, _LOADED])
        groups = rows.group_by(column).aggregate([(_LOADED, "max"), ([], "count_all")])
        old = groups.filter(pc.less(groups[f"{_LOADED}_max"], before))
        if old.num_rows:
            due[table] = {row[column]: row["count_all"] for row in old.to_pylist()}
    if due and not dry_run:
        remove_days(MAIN_REF, due, run_id=RUN)
    return [
        (table, window, sum(of[day] for day in window.days))
        for table, of in due.items()
        for window in contiguous(of)
    ]
