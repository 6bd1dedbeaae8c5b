"""Refs: named sets of table pointers. A branch copies pointers, not data; a merge moves them all at once."""

from __future__ import annotations

import datetime as dt
import random
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psycopg

from millpond.errors import LakeError, MergeConflict, RefExists
from millpond.lake.commit import settled
from millpond.lake.connect import pooled
from millpond.lake.diffs import TableDiff, changed, table_diffs
from millpond.lake.locks import table_locks
from millpond.lake.pins import Pin, pin, pinned
from millpond.lake.pointers import Move, Note, PointerMoved, locked_pointers, log, move, ref_missing, share
from millpond.lake.rebase import conflict, rebase_tables
from millpond.naming import MAIN_REF, ref_name

__all__ = [
    "MAIN_REF",
    "Merged",
    "Pin",
    "Ref",
    "TableDiff",
    "create",
    "diff",
    "drop",
    "list_refs",
    "merge",
    "pin",
    "pinned",
]

_ATTEMPTS = 20
_PATIENT = 2
"""From this attempt on a merge holds the write locks of what it merges, so that writers wait for it."""


@dataclass(frozen=True)
class Ref:
    """A ref as it is listed; `base` is None for main."""

    name: str
    base: str | None
    purpose: str
    run_id: str
    created_at: dt.datetime
    tables: int
    changed: int


@dataclass(frozen=True)
class Merged:
    """What a merge moved into `into`; `rebased` tables had moved there meanwhile, on other days."""

    ref: str
    into: str
    tables: tuple[str, ...]
    rebased: tuple[str, ...]


def create(name: str, base: str = MAIN_REF, purpose: str = "", run_id: str = "") -> Ref:
    """Create a branch with the tables of `base` as they are now. Raises RefExists, RefNotFound, ConfigError."""
    ref_name(name)
    with pooled() as conn, conn.transaction():
        share(conn, base)
        made = conn.execute(
            "insert into lake_refs (name, base, purpose, run_id) values (%s, %s, %s, %s)"
            " on conflict do nothing returning created_at",
            (name, base, purpose, run_id),
        ).fetchone()
        if not made:
            raise RefExists(
                f"there is a ref {name!r} already",
                unharmed="that ref and its tables",
                next_step=f"choose another name, or drop it: `millpond branch drop {name}`",
            )
        copied = conn.execute(
            "with copied as (insert into iceberg_tables (catalog_name, table_namespace, table_name,"
            " metadata_location, iceberg_type) select %(name)s, table_namespace, table_name, metadata_location,"
            " iceberg_type from iceberg_tables where catalog_name = %(base)s"
            " returning table_namespace, table_name, metadata_location)"
            " insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
            " select %(name)s, table_namespace, table_name, metadata_location from copied",
            {"name": name, "base": base},
        ).rowcount
        conn.execute(
            "insert into iceberg_namespace_properties select %s, namespace, property_key, property_value"
            " from iceberg_namespace_properties where catalog_name = %s",
            (name, base),
        )
        log(conn, name, Note("create branch", run_id, base))
    return Ref(name, base, purpose, run_id, made[0], copied, 0)


def list_refs() -> list[Ref]:
    """Return main and all branches, oldest first."""
    with pooled() as conn:
        rows = conn.execute(
            "select r.name, r.base, r.purpose, r.run_id, r.created_at,"
            " (select count(*) from iceberg_tables t where t.catalog_name = r.name),"
            " case when r.base is null then 0 else (select count(*)"
            " from (select * from iceberg_tables where catalog_name = r.name) t"
            " full join (select * from lake_branch_bases where ref = r.name) b"
            " using (table_namespace, table_name)"
            " where t.metadata_location is distinct from b.metadata_location) end"
            " from lake_refs r order by r.created_at, r.name"
        ).fetchall()
    return [Ref(*row) for row in rows]


def diff(name: str) -> list[TableDiff]:
    """Return what a branch changed since it was taken or last merged. Raises RefNotFound."""
    with pooled() as conn, conn.transaction():
        _base_of(conn, name)
        return table_diffs(changed(conn, name))


def drop(name: str) -> None:
    """Drop a branch; its files stay until they are swept. Raises RefNotFound, LakeError for main or a base."""
    with pooled() as conn, conn.transaction():
        _base_of(conn, name, lock=" for update")
        _drop(conn, name)


def merge(name: str, *, drop: bool = True, rebase: bool = True) -> Merged:
    """Move everything a branch changed into the ref it was taken from, in one transaction, then drop it.

    Tables that moved there meanwhile on other days are rebased first (with `rebase`): the branch's days
    are replaced on top of what is there now. Raises MergeConflict (nothing moved), RefNotFound.
    """
    rebased: set[str] = set()
    with ExitStack() as held:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                into, tables = _merge(name, drop=drop)
                return Merged(name, into, tables, tuple(sorted(rebased)))
            except _BaseMoved as moved:
                if not rebase:
                    why = dict.fromkeys(moved.tables, "changed on both sides")
                    raise conflict(name, moved.into, why) from None
                if attempt == _PATIENT:
                    held.enter_context(table_locks(moved.into, moved.tables, run_id=f"merge {name}"))
                with suppress(PointerMoved):
                    rebased |= rebase_tables(name, moved.into, moved.tables)
            except PointerMoved:
                time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311
    raise MergeConflict(
        f"branch {name} could not be merged: others kept changing the same tables",
        unharmed="the branch and the ref it was taken from; nothing moved",
        next_step=f"merge again: `millpond branch merge {name}`",
    )


class _BaseMoved(Exception):
    def __init__(self, into: str, tables: list[str]) -> None:
        self.into, self.tables = into, tables


def _merge(name: str, *, drop: bool) -> tuple[str, tuple[str, ...]]:
    with pooled() as conn:
        into = _base_of(conn, name)
        note = Note("merge", other_ref=name)
        moves = settled(conn, into, note, lambda inner, noted: _move_all(inner, name, into, noted, drop=drop))
    return into, tuple(m.table for m in moves)


def _move_all(conn: psycopg.Connection, name: str, into: str, note: Note, *, drop: bool) -> list[Move]:
    """Move what the branch changed; its rows are locked, so a writer cannot slip past."""
    share(conn, into)
    _base_of(conn, name, lock=" for update")
    locked_pointers(conn, name)
    moves = changed(conn, name)
    now = locked_pointers(conn, into, [m.table for m in moves])
    if moved := [m.table for m in moves if now.get(m.table) != m.old]:
        raise _BaseMoved(into, moved)
    move(conn, into, moves, note)
    conn.execute(
        "insert into iceberg_namespace_properties select %s, namespace, property_key, property_value"
        " from iceberg_namespace_properties where catalog_name = %s on conflict do nothing",
        (into, name),
    )
    if drop:
        _drop(conn, name)
    else:
        _take_as_base(conn, name)
    return moves


def _base_of(conn: psycopg.Connection, name: str, *, lock: str = "") -> str:
    row = conn.execute(f"select base from lake_refs where name = %s{lock}", (name,)).fetchone()  # noqa: S608
    if not row:
        raise ref_missing(name)
    if row[0] is None:
        raise LakeError(
            f"{name} is no branch: it cannot be merged, compared or dropped",
            unharmed="everything; nothing was changed",
            next_step="name a branch; `millpond branch list` shows them",
        )
    return str(row[0])


def _drop(conn: psycopg.Connection, name: str) -> None:
    above = [row[0] for row in conn.execute("select name from lake_refs where base = %s", (name,)).fetchall()]
    if above:
        raise LakeError(
            f"branch {name} cannot be dropped: {', '.join(above)} was taken from it",
            unharmed="all of them",
            next_step="merge or drop those first",
        )
    for table in ("iceberg_tables", "iceberg_namespace_properties"):
        conn.execute(f"delete from {table} where catalog_name = %s", (name,))  # noqa: S608
    conn.execute("delete from lake_refs where name = %s", (name,))
    log(conn, name, Note("drop branch"))


def _take_as_base(conn: psycopg.Connection, name: str) -> None:
    """Let a merged branch go on from where it stands: what it changed is no difference any more."""
    conn.execute("delete from lake_branch_bases where ref = %s", (name,))
    conn.execute(
        "insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
        " select %s, table_namespace, table_name, metadata_location from iceberg_tables where catalog_name = %s",
        (name, name),
    )
