"""Moving pointers for good: one transaction, and a definite answer even if the connection dies in it."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from millpond import crash_points
from millpond.errors import OutcomeUnknown
from millpond.lake.connect import reconnection
from millpond.lake.metadata import metadata_at
from millpond.lake.pointers import Move, PointerMoved, move, pointers, ref_missing

_SETTLE_MILLISECONDS = 10_000
"""How long to wait for a broken session's transaction to end before its outcome is called unknown."""


def swap(
    conn: psycopg.Connection,
    ref: str,
    moves: Sequence[Move],
    *,
    action: str,
    run_id: str = "",
    commit_id: str | None = None,
) -> None:
    """Move all pointers or none.

    If the connection breaks, asks the catalog whether the moves landed: returns if so, raises
    PointerMoved if not, OutcomeUnknown if it cannot be asked.
    """
    crash_points.reached("lake.before_swap")
    try:
        with conn.transaction():
            move(conn, ref, moves, action=action, run_id=run_id)
    except psycopg.OperationalError as error:
        if not conn.broken:
            raise
        if not _landed(ref, moves, commit_id, error):
            raise PointerMoved(moves[0].table) from error
    crash_points.reached("lake.swapped")


def _landed(ref: str, moves: Sequence[Move], commit_id: str | None, error: Exception) -> bool:
    """Tell whether an interrupted transaction took effect, after it has surely ended.

    Its key-share lock on the ref's row is the first thing it took: once we hold that row, it is over.
    """
    try:
        with reconnection() as conn, conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", (f"{_SETTLE_MILLISECONDS}ms",))
            if not conn.execute("select 1 from lake_refs where name = %s for update", (ref,)).fetchone():
                raise ref_missing(ref)
            now = pointers(conn, ref, [m.table for m in moves])
    except psycopg.OperationalError as again:
        raise OutcomeUnknown(
            f"the catalog broke off while {', '.join(m.table for m in moves)} on ref {ref} were committed"
            f" ({error}), and cannot be asked whether that happened ({again})",
            unharmed="every table is as it was before the write or as it is after it, never between",
            next_step="repeat the run when Postgres answers; it finds out whether its rows are there",
        ) from again
    return any(_holds(now.get(m.table), m, commit_id) for m in moves)


def _holds(location: str | None, m: Move, commit_id: str | None) -> bool:
    if location is None or m.new is None:
        return location == m.new
    if location == m.new:
        return True
    metadata = metadata_at(location)
    if any(entry.metadata_file == m.new for entry in metadata.metadata_log):
        return True
    return commit_id is not None and any(
        s.summary is not None and s.summary.get("millpond.commit_id") == commit_id for s in metadata.snapshots
    )
