"""What creating, merging and dropping branches share: their base, what they changed, how they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from millpond.errors import RefRefused
from millpond.lake import nessie
from millpond.lake.metadata import (
    HistoryLost,
    find_windows_since,
    read_metadata,
    read_summary,
    walk_snapshots_since,
)
from millpond.lake.pointers import Move, missing_ref_error

_CHANGED = """
with t as (
    select * from iceberg_tables where catalog_name = %(ref)s order by table_namespace, table_name {lock}
)
select table_namespace || '.' || table_name, b.metadata_location, t.metadata_location,
    coalesce(t.iceberg_type, b.iceberg_type, 'TABLE')
from t full join (select * from lake_branch_bases where ref = %(ref)s) b using (table_namespace, table_name)
where t.metadata_location is distinct from b.metadata_location
order by table_namespace, table_name
"""
_DROP = """
with tables as (delete from iceberg_tables where catalog_name = %(ref)s),
namespaces as (delete from iceberg_namespace_properties where catalog_name = %(ref)s),
dropped as (delete from lake_refs where name = %(ref)s)
insert into lake_ref_log (ref, action) values (%(ref)s, 'drop branch')
"""


@dataclass(frozen=True)
class TableDiff:
    """What happened to one table or view on a branch.

    `rows_added` and `rows_removed` sum over the branch's commits: a day replaced twice counts twice.
    None where the history is gone.
    """

    table: str
    change: Literal["created", "changed", "dropped"]
    windows: str
    rows_added: int | None
    rows_removed: int | None


def get_base(conn: psycopg.Connection, name: str, *, lock: str = "") -> str:
    """Return the ref a branch was created from. Raises RefNotFound, LakeError for main."""
    row = conn.execute(f"select base from lake_refs where name = %s{lock}", (name,)).fetchone()  # noqa: S608
    if not row:
        raise missing_ref_error(name)
    if row[0] is None:
        raise RefRefused(
            f"{name} is not a branch: it cannot be merged, compared or dropped",
            unharmed="everything; nothing was changed",
            next_step="name a branch; `millpond branch list` shows them",
        )
    return str(row[0])


def delete_branch(conn: psycopg.Connection, name: str) -> None:
    """Delete a branch and its pointers, and the audit branches that failed runs on it left behind.

    Raises LakeError if another branch was created from it.
    """
    above = conn.execute(
        "select name, kept <> '' from lake_refs where base = %s order by name for update", (name,)
    ).fetchall()
    if needing := [other for other, kept in above if not kept]:
        raise RefRefused(
            f"branch {name} cannot be dropped: {', '.join(needing)} was created from it",
            unharmed="all of them",
            next_step=f"merge or drop those first, for example: `millpond branch drop {needing[0]}`",
        )
    for other, _ in above:
        delete_branch(conn, other)
    conn.execute(_DROP, {"ref": name})
    if nessie.is_used():
        nessie.drop(name)


def list_changes(conn: psycopg.Connection, ref: str, *, lock: str = "") -> list[Move]:
    """Return each table that a branch changed: its pointer in the base then, and on the branch now."""
    return [Move(*row) for row in conn.execute(_CHANGED.format(lock=lock), {"ref": ref}).fetchall()]


def diff_tables(moves: Sequence[Move]) -> list[TableDiff]:
    """Return what the moves changed, from the snapshots in between."""
    return [_diff_table(m) for m in moves]


def _diff_table(m: Move) -> TableDiff:
    if m.kind == "VIEW":
        return TableDiff(m.table, _name_change(m), "none", 0, 0)
    then = read_metadata(m.old) if m.old else None
    if m.new is None:
        return TableDiff(m.table, "dropped", "all", 0, _count_rows(then))
    now = read_metadata(m.new)
    windows = str(find_windows_since(now, then))
    try:
        steps = list(walk_snapshots_since(now, then))
    except HistoryLost:
        return TableDiff(m.table, _name_change(m), windows, None, None)
    added = _sum_rows(steps, "millpond.rows_added", "added-records")
    removed = _sum_rows(steps, "millpond.rows_removed", "deleted-records")
    return TableDiff(m.table, _name_change(m), windows, added, removed)


def _name_change(m: Move) -> Literal["created", "changed", "dropped"]:
    if m.new is None:
        return "dropped"
    return "changed" if m.old else "created"


def _sum_rows(snapshots: Sequence[Snapshot], ours: str, icebergs: str) -> int:
    return sum(int(read_summary(s, ours) or read_summary(s, icebergs) or 0) for s in snapshots)


def _count_rows(metadata: TableMetadata | None) -> int | None:
    snapshot = metadata.current_snapshot() if metadata else None
    if snapshot is None:
        return 0
    total = read_summary(snapshot, "total-records")
    return int(total) if total is not None else None
