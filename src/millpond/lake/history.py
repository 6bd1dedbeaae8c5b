"""Undoing a commit: the pointers of all its tables move back, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from millpond.errors import StorageFailed
from millpond.lake.commit import swap
from millpond.lake.files import lake_io
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import find_windows_since, list_manifest_files, read_metadata, read_statistics
from millpond.lake.pointers import Move, Note, PointerMoved, find_user
from millpond.lake.ref_log import LAYOUT_ACTIONS, WIPE, Commit, TableMove, find_commit, list_commits, refuse
from millpond.lake.windows import Windows


@dataclass(frozen=True)
class Undo:
    """What undoing does: the commits, newest first, and the pointers that it moves back."""

    ref: str
    commits: tuple[Commit, ...]
    moves: tuple[TableMove, ...]


def find_days(move: TableMove) -> Windows:
    """Return the days whose rows differ; everything if that is not known any more."""
    if move.old is None or move.new is None or move.kind == "VIEW":
        return Windows(None)
    try:
        old, new = read_metadata(move.old), read_metadata(move.new)
    except (OSError, StorageFailed):
        return Windows(None)
    return min(find_windows_since(new, old), find_windows_since(old, new), key=_count_days)


def count_rows(move: TableMove) -> tuple[int | None, int | None]:
    """Return the rows before and after; None if the table was absent or its file is gone, or it is a view."""
    if move.kind == "VIEW":
        return None, None
    return _count_rows(move.old), _count_rows(move.new)


def plan_undo(ref: str, commit: str, *, with_later: bool = False, table: str | None = None) -> Undo:
    """Return what undoing a commit moves; `table` restricts it to one table of it.

    A later commit that moved one of its tables has to be undone as well, as a whole: `with_later` does.
    Those that changed no row, such as a compaction, are passed over: their tables go back as well.
    Raises RefRefused if there are later ones, if no such commit is known, or files that it needs are gone.
    """
    every = list_commits(ref)[::-1]
    start = find_commit(every, commit, ref)
    if table is not None and table not in start.tables:
        why = f"commit {start.id[:8]} did not change {table}"
        raise refuse(ref, why, f"name one that it changed: {', '.join(start.tables)}")
    tables = {table} if table else set(start.tables)
    undone, moves = [start], {m.table: m for m in start.moves if m.table in tables}
    for later in every[every.index(start) + 1 :]:
        if not tables & set(later.tables):
            continue
        if later.action not in LAYOUT_ACTIONS:
            undone.append(later)
        for move in later.moves:
            if table in (None, move.table):
                tables.add(move.table)
                moves[move.table] = replace(moves.get(move.table, move), new=move.new)
    _refuse_wiped(ref, start, every[every.index(start) :], tables)
    if len(undone) > 1 and not with_later:
        names = ", ".join(f"{c.id[:8]} ({c.action} of {c.at:%Y-%m-%d %H:%M})" for c in undone[:0:-1])
        raise refuse(
            ref,
            f"commit {start.id[:8]} cannot be undone alone: its tables were changed again by {names}",
            f"undo them together, {len(undone)} in all: `millpond undo {start.id[:8]} --with-later`",
        )
    found = tuple(m for m in moves.values() if m.old != m.new)
    _refuse_lost_files(ref, found)
    return Undo(ref, tuple(undone[::-1]), found)


def undo(plan: Undo) -> Commit:
    """Move the pointers of a plan back, all in one transaction, and return the commit that did it.

    Raises RefRefused if a table was changed since the plan was made (nothing moved), LockTimeout.
    """
    names, own = [m.table for m in plan.moves], uuid.uuid4().hex
    with lock_tables(plan.ref, names, run_id="undo") as conn:
        try:
            first = plan.commits[-1].id
            back = [Move(m.table, m.new, m.old, m.kind) for m in plan.moves]
            swap(conn, plan.ref, back, Note("undo", other_ref=first, commit_id=own, client=find_user()))
        except PointerMoved as moved:
            raise refuse(
                plan.ref,
                f"commit {first[:8]} was not undone: {moved} is not as that commit left it",
                f"look at what changed it: `millpond history --ref {plan.ref}`",
            ) from moved
    return find_commit(list_commits(plan.ref), own, plan.ref)


def _refuse_wiped(ref: str, start: Commit, since: Iterable[Commit], tables: set[str]) -> None:
    """Raise RefRefused if rows of one of the tables were wiped by a commit or after it."""
    wiped = [c for c in since if c.action == WIPE and tables & set(c.tables)]
    if wiped:
        names = ", ".join(sorted(tables & {table for c in wiped for table in c.tables}))
        raise refuse(
            ref,
            f"commit {start.id[:8]} cannot be undone: rows of {names} were wiped since, at"
            f" {wiped[-1].at:%Y-%m-%d %H:%M} UTC, and their files with them",
            "load the days again that are to change: `millpond backfill`",
        )


def _refuse_lost_files(ref: str, moves: Iterable[TableMove]) -> None:
    lost = []
    for move in moves:
        try:
            if move.old and not _has_files(move):
                lost.append(move.table)
        except (OSError, StorageFailed):
            lost.append(move.table)
    if lost:
        raise refuse(
            ref,
            f"the earlier version of {', '.join(lost)} is gone: its files were removed by housekeeping",
            "materialize those days again",
        )


def _has_files(move: TableMove) -> bool:
    """Return whether the version before a commit is still one that the table keeps."""
    assert move.old
    if move.kind == "VIEW":
        return lake_io().new_input(move.old).exists()
    snapshot = read_metadata(move.old).current_snapshot()
    if snapshot is None:
        return True
    if move.new and read_metadata(move.new).snapshot_by_id(snapshot.snapshot_id):
        return True
    io = lake_io()
    return all(io.new_input(file).exists() for file in list_manifest_files(snapshot.manifests(io), io))


def _count_rows(location: str | None) -> int | None:
    try:
        return read_statistics(location)[0] if location else None
    except (OSError, StorageFailed):
        return None


def _count_days(windows: Windows) -> float:
    return float("inf") if windows.parts is None else len(windows.days)
