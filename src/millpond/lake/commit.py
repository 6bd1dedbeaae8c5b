"""Committing moved pointers: one transaction, with a known outcome even if the connection breaks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import psycopg

from millpond import crash_points
from millpond.errors import OutcomeUnknown
from millpond.lake.connect import reconnect
from millpond.lake.pointer_file import save_pointers
from millpond.lake.pointers import Move, Note, PointerMoved, move_pointers

T = TypeVar("T")

_ROLLED_BACK = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)
_SHUT_DOWN = (psycopg.errors.AdminShutdown, psycopg.errors.CrashShutdown)
_SETTLE_MILLISECONDS = 10_000
"""How long to wait for a broken session's transaction to end before its outcome is called unknown."""


def swap(conn: psycopg.Connection, ref: str, moves: Sequence[Move], note: Note) -> None:
    """Move all pointers or none. Raises PointerMoved, RefNotFound, OutcomeUnknown."""
    crash_points.reached("lake.before_swap")
    commit_definitely(conn, ref, note, lambda inner, noted: move_pointers(inner, ref, moves, noted))
    crash_points.reached("lake.swapped")
    save_pointers(conn, ref)


def commit_definitely(
    conn: psycopg.Connection, ref: str, note: Note, work: Callable[[psycopg.Connection, Note], T]
) -> T:
    """Do `work` in one transaction and return its result; `work` must log the note on `ref`.

    If the connection breaks, the ref log shows whether the transaction took effect. If it did, the result
    is returned; if not, PointerMoved is raised, so that the caller tries again.
    Raises OutcomeUnknown if the catalog does not come back.
    """
    noted = replace(note, commit_id=note.commit_id or uuid.uuid4().hex)
    result: list[T] = []
    try:
        with conn.transaction():
            result.append(work(conn, noted))
    except psycopg.OperationalError as error:
        if isinstance(error, _ROLLED_BACK):
            raise PointerMoved(ref) from error
        if not (conn.broken or isinstance(error, _SHUT_DOWN)):
            raise
        if not _took_effect(ref, noted, error):
            raise PointerMoved(ref) from error
    return result[0]


def _took_effect(ref: str, note: Note, error: Exception) -> bool:
    """Return whether an interrupted transaction took effect, once it has ended.

    It locked the ref's row before it wrote anything: once we have locked that row, it has ended.
    """
    try:
        with reconnect() as conn, conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", (f"{_SETTLE_MILLISECONDS}ms",))
            conn.execute("select 1 from lake_refs where name = %s for update", (ref,))
            found = conn.execute("select 1 from lake_ref_log where commit_id = %s limit 1", (note.commit_id,))
            return found.fetchone() is not None
    except psycopg.OperationalError as again:
        raise OutcomeUnknown(
            f"the connection to the catalog was lost during a {note.action} on ref {ref} ({error}),"
            f" and it is unknown whether it took effect ({again})",
            unharmed="every table is as it was before or as it is after it, never between",
            next_step="repeat the run when Postgres is back; it checks whether its rows are there",
        ) from again
