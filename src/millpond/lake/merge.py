"""Merging a branch: all its changed pointers at once, on top of the present state of its base."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psycopg

from millpond.errors import MergeConflict, RefRefused
from millpond.lake import nessie
from millpond.lake.branches import delete_branch, get_base, list_changes
from millpond.lake.commit import commit_definitely
from millpond.lake.connect import borrow_connection
from millpond.lake.locks import lock_tables
from millpond.lake.pointer_file import save_pointers
from millpond.lake.pointers import (
    Move,
    Note,
    PointerMoved,
    find_user,
    lock_pointers,
    lock_ref,
    refresh_pointers,
    write_pointers,
)
from millpond.lake.rebase import conflict_error, rebase_tables
from millpond.naming import LAYERS, MAIN_REF

_ATTEMPTS = 20
_LOCKING_ATTEMPT = 2
"""From this attempt on a merge holds the write locks of what it merges, so that writers wait for it."""


@dataclass(frozen=True)
class MergeResult:
    """What a merge moved into `into`; `rebased` tables had changed there meanwhile, on other days."""

    ref: str
    into: str
    tables: tuple[str, ...]
    rebased: tuple[str, ...]


def merge(name: str, *, drop: bool = True, rebase: bool = True, action: str = "merge") -> MergeResult:
    """Move everything a branch changed into the ref it was created from, in one transaction, then drop it.

    Tables that changed there meanwhile on other days are rebased first (with `rebase`): the branch's days
    replace those of the present state. `action` is what the log calls it.

    Raises MergeConflict (nothing moved), RefNotFound.
    """
    rebased: set[str] = set()
    with ExitStack() as held:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                into, tables = _merge(name, drop=drop, action=action)
                return MergeResult(name, into, tables, tuple(sorted(rebased)))
            except _BaseMoved as moved:
                if not rebase or nessie.is_used():  # refuses what both sides changed, rebased or not
                    why = dict.fromkeys(moved.tables, "changed on both sides")
                    raise conflict_error(name, moved.into, why) from None
                if attempt == _LOCKING_ATTEMPT:
                    held.enter_context(lock_tables(moved.into, moved.tables, run_id=f"merge {name}"))
                with suppress(PointerMoved):
                    rebased |= rebase_tables(name, moved.into, moved.tables)
            except PointerMoved:
                time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311
    raise MergeConflict(
        f"branch {name} could not be merged: others kept changing the same tables",
        unharmed="the branch and the ref it was created from; nothing moved",
        next_step=f"merge again: `millpond branch merge {name}`",
    )


class _BaseMoved(Exception):
    def __init__(self, into: str, tables: list[str]) -> None:
        self.into, self.tables = into, tables


def _merge(name: str, *, drop: bool, action: str) -> tuple[str, tuple[str, ...]]:
    with borrow_connection() as conn:
        into = get_base(conn, name)
        note = Note(action, other_ref=name, client=find_user())
        moves = commit_definitely(
            conn, into, note, lambda inner, noted: _move_all(inner, name, into, noted, drop=drop)
        )
        if moves:
            save_pointers(conn, into)
    return into, tuple(m.table for m in moves)


def _move_all(conn: psycopg.Connection, name: str, into: str, note: Note, *, drop: bool) -> list[Move]:
    """Move what the branch changed; its rows are locked, so that no writer changes them meanwhile."""
    lock_ref(conn, into)
    get_base(conn, name, lock=" for update")
    for ref in (name, into):
        refresh_pointers(conn, ref)
    moves = list_changes(conn, name, lock="for update")
    _refuse_outside_layers(name, into, moves)
    now = lock_pointers(conn, into, [m.table for m in moves]) if moves else {}
    if moved := [m.table for m in moves if now.get(m.table) != m.old]:
        raise _BaseMoved(into, moved)
    write_pointers(conn, into, moves, note, merging=name)
    conn.execute(
        "insert into iceberg_namespace_properties select %s, namespace, property_key, property_value"
        " from iceberg_namespace_properties where catalog_name = %s on conflict do nothing",
        (into, name),
    )
    if drop:
        delete_branch(conn, name)
    else:
        _take_as_base(conn, name)
    return moves


def _refuse_outside_layers(name: str, into: str, moves: list[Move]) -> None:
    outside = [m.table for m in moves if m.new and m.table.partition(".")[0] not in LAYERS]
    if into == MAIN_REF and outside:
        raise RefRefused(
            f"branch {name} cannot be merged: {', '.join(outside)} are not in a layer of main",
            unharmed="the branch and main; nothing moved",
            next_step="give their models a `+schema` of bronze, silver or gold, and build on a new branch",
        )


def _take_as_base(conn: psycopg.Connection, name: str) -> None:
    """Make the present state of a merged branch its base."""
    conn.execute("delete from lake_branch_bases where ref = %s", (name,))
    conn.execute(
        "insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location, iceberg_type)"
        " select %s, table_namespace, table_name, metadata_location, coalesce(iceberg_type, 'TABLE')"
        " from iceberg_tables where catalog_name = %s",
        (name, name),
    )
