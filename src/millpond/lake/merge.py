"""Merging a branch: all its changed pointers at once, on top of what its base has become."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psycopg

from millpond.errors import MergeConflict, RefRefused
from millpond.lake import nessie
from millpond.lake.branches import base_of, delete
from millpond.lake.commit import commit_definitely
from millpond.lake.connect import pooled
from millpond.lake.diffs import changed
from millpond.lake.locks import table_locks
from millpond.lake.pointers import Move, Note, PointerMoved, follow_pointers, lock_pointers, move, share
from millpond.lake.rebase import conflict, rebase_tables
from millpond.naming import LAYERS, MAIN_REF

_ATTEMPTS = 20
_PATIENT = 2
"""From this attempt on a merge holds the write locks of what it merges, so that writers wait for it."""


@dataclass(frozen=True)
class Merged:
    """What a merge moved into `into`; `rebased` tables had moved there meanwhile, on other days."""

    ref: str
    into: str
    tables: tuple[str, ...]
    rebased: tuple[str, ...]


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
                if not rebase or nessie.is_used():  # which refuses what both sides changed, rebased or not
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
        into = base_of(conn, name)
        note = Note("merge", other_ref=name)
        moves = commit_definitely(
            conn, into, note, lambda inner, noted: _move_all(inner, name, into, noted, drop=drop)
        )
    return into, tuple(m.table for m in moves)


def _move_all(conn: psycopg.Connection, name: str, into: str, note: Note, *, drop: bool) -> list[Move]:
    """Move what the branch changed; its rows are locked, so a writer cannot slip past."""
    share(conn, into)
    base_of(conn, name, lock=" for update")
    for ref in (name, into):
        follow_pointers(conn, ref)
    lock_pointers(conn, name)
    moves = changed(conn, name)
    _refuse_outside_layers(name, into, moves)
    now = lock_pointers(conn, into, [m.table for m in moves])
    if moved := [m.table for m in moves if now.get(m.table) != m.old]:
        raise _BaseMoved(into, moved)
    move(conn, into, moves, note, merging=name)
    conn.execute(
        "insert into iceberg_namespace_properties select %s, namespace, property_key, property_value"
        " from iceberg_namespace_properties where catalog_name = %s on conflict do nothing",
        (into, name),
    )
    if drop:
        delete(conn, name)
    else:
        _take_as_base(conn, name)
    return moves


def _refuse_outside_layers(name: str, into: str, moves: list[Move]) -> None:
    outside = [m.table for m in moves if m.new and m.table.partition(".")[0] not in LAYERS]
    if into == MAIN_REF and outside:
        raise RefRefused(
            f"branch {name} cannot be merged: {', '.join(outside)} lie in no layer of main",
            unharmed="the branch and main; nothing moved",
            next_step="give their models a `+schema` of bronze, silver or gold, and build on a new branch",
        )


def _take_as_base(conn: psycopg.Connection, name: str) -> None:
    """Let a merged branch go on from where it stands: what it changed is no difference any more."""
    conn.execute("delete from lake_branch_bases where ref = %s", (name,))
    conn.execute(
        "insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
        " select %s, table_namespace, table_name, metadata_location from iceberg_tables"
        " where catalog_name = %s",
        (name, name),
    )
