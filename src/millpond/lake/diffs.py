"""What a branch changed, pointer by pointer, with the rows its snapshots say they added and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from pyiceberg.table.metadata import TableMetadata

from millpond.lake.history import HistoryLost, read_note, snapshots_since, windows_since
from millpond.lake.metadata import metadata_at
from millpond.lake.pointers import Move

_CHANGED = """
select table_namespace || '.' || table_name, b.metadata_location, t.metadata_location
from (select * from iceberg_tables where catalog_name = %(ref)s) t
full join (select * from lake_branch_bases where ref = %(ref)s) b using (table_namespace, table_name)
where t.metadata_location is distinct from b.metadata_location
order by table_namespace, table_name
"""


@dataclass(frozen=True)
class TableDiff:
    """What happened to one table on a branch.

    `rows_added` and `rows_removed` sum over the branch's commits: a day replaced twice counts twice.
    None where the history is gone.
    """

    table: str
    change: Literal["created", "changed", "dropped"]
    windows: str
    rows_added: int | None
    rows_removed: int | None


def changed(conn: psycopg.Connection, ref: str) -> list[Move]:
    """Return for each table that a branch changed its pointer in the base then, and on the branch now."""
    return [Move(*row) for row in conn.execute(_CHANGED, {"ref": ref}).fetchall()]


def table_diffs(moves: Sequence[Move]) -> list[TableDiff]:
    """Return what the moves mean, by the snapshots in between."""
    return [_table_diff(m) for m in moves]


def _table_diff(m: Move) -> TableDiff:
    then = metadata_at(m.old) if m.old else None
    if m.new is None:
        return TableDiff(m.table, "dropped", "all", 0, _total(then))
    now = metadata_at(m.new)
    windows = str(windows_since(now, then))
    change: Literal["created", "changed"] = "changed" if then else "created"
    try:
        steps = list(snapshots_since(now, then))
    except HistoryLost:
        return TableDiff(m.table, change, windows, None, None)
    added = sum(int(read_note(s, "millpond.rows_added") or read_note(s, "added-records") or 0) for s in steps)
    removed = sum(
        int(read_note(s, "millpond.rows_removed") or read_note(s, "deleted-records") or 0) for s in steps
    )
    return TableDiff(m.table, change, windows, added, removed)


def _total(metadata: TableMetadata | None) -> int | None:
    snapshot = metadata.current_snapshot() if metadata else None
    if snapshot is None:
        return 0
    total = read_note(snapshot, "total-records")
    return int(total) if total is not None else None
