"""The history of a ref: its commits as the ref log has them, and undoing one by moving pointers back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from millpond.errors import RefRefused, StorageFailed
from millpond.lake.commit import swap
from millpond.lake.connect import borrow_connection
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import find_windows_since, read_metadata, read_statistics
from millpond.lake.pointers import Move, Note, PointerMoved, missing_ref_error, read_pointers
from millpond.lake.windows import Windows

SHORTEST_ID = 4
"""Characters of a commit's id that must be given at least."""

_LINES = """
select coalesce(l.commit_id, 'log' || l.id) as commit, l.id as line,
    max(l.at) over (partition by coalesce(l.commit_id, 'log' || l.id)) as at, l.action, l.other_ref,
    coalesce(nullif(l.run_id, ''), (select c.run_id from lake_ref_log c
        where l.other_ref <> '' and c.ref = l.other_ref and c.action = 'create branch' and c.id < l.id
        order by c.id desc limit 1), '') as run_id,
    l.table_namespace || '.' || l.table_name as moved, l.old_location, l.new_location
from lake_ref_log l join lake_refs r on r.name = l.ref
where l.ref = %(ref)s and l.table_name <> '' and l.at >= r.created_at
"""
_LINES_SINCE = f"select * from ({_LINES}) as lines where at > %(at)s order by line"  # noqa: S608
_Line = tuple[str, int, dt.datetime, str, str, str, str, str | None, str | None]


@dataclass(frozen=True)
class TableMove:
    """A table in a commit: its metadata file before and after; None where the table was absent."""

    table: str
    old: str | None
    new: str | None

    def find_days(self) -> Windows:
        """Return the days whose rows differ; everything if that is not known any more."""
        if self.old is None or self.new is None:
            return Windows(None)
        try:
            old, new = read_metadata(self.old), read_metadata(self.new)
        except (OSError, StorageFailed):
            return Windows(None)
        return min(find_windows_since(new, old), find_windows_since(old, new), key=_count_days)

    def count_rows(self) -> tuple[int | None, int | None]:
        """Return the rows before and after; None if the table was absent or its file is gone."""
        return _count_rows(self.old), _count_rows(self.new)


@dataclass(frozen=True)
class Commit:
    """Pointers that moved together: a merge, a load, an undo; `run_id` is empty if no run did it."""

    id: str
    first: int
    at: dt.datetime
    action: str
    branch: str
    run_id: str
    moves: tuple[TableMove, ...]

    @property
    def tables(self) -> list[str]:
        """The tables that it moved."""
        return [move.table for move in self.moves]


@dataclass(frozen=True)
class Undo:
    """What undoing does: the commits, newest first, and the pointers that it moves back."""

    ref: str
    commits: tuple[Commit, ...]
    moves: tuple[TableMove, ...]


def list_commits(ref: str, *, limit: int | None = None, table: str | None = None) -> list[Commit]:
    """Return the commits of `ref`, newest first; those that moved `table`, if it is given.

    Raises RefNotFound.
    """
    with borrow_connection() as conn:
        read_pointers(conn, ref, ())
        found = conn.execute(
            f"with lines as ({_LINES}), wanted as (select commit, max(line) from lines"  # noqa: S608
            " where %(table)s::text is null or moved = %(table)s group by 1 order by 2 desc limit %(limit)s)"
            " select lines.* from lines join wanted using (commit) order by line",
            {"ref": ref, "table": table, "limit": limit},
        ).fetchall()
    return _group(found)[::-1]


def plan_undo(ref: str, commit: str, *, with_later: bool = False, table: str | None = None) -> Undo:
    """Return what undoing a commit moves; `table` restricts it to one table of it.

    A later commit that moved one of its tables has to be undone as well, as a whole: `with_later` does.
    Raises RefRefused if there are later ones, if no such commit is known, or files that it needs are gone.
    """
    every = list_commits(ref)[::-1]
    start = _find_commit(every, commit, ref)
    if table is not None and table not in start.tables:
        why = f"commit {start.id[:8]} did not change {table}"
        raise _refuse(ref, why, f"name one that it changed: {', '.join(start.tables)}")
    tables = {table} if table else set(start.tables)
    undone, moves = [start], {m.table: m for m in start.moves if m.table in tables}
    for later in every[every.index(start) + 1 :]:
        if not tables & set(later.tables):
            continue
        undone.append(later)
        for move in later.moves:
            if table in (None, move.table):
                tables.add(move.table)
                moves[move.table] = replace(moves.get(move.table, move), new=move.new)
    if len(undone) > 1 and not with_later:
        names = ", ".join(f"{c.id[:8]} ({c.action} of {c.at:%Y-%m-%d %H:%M})" for c in undone[:0:-1])
        raise _refuse(
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
    names = [m.table for m in plan.moves]
    with lock_tables(plan.ref, names, run_id="undo") as conn:
        try:
            first = plan.commits[-1].id
            back = [Move(m.table, m.new, m.old) for m in plan.moves]
            swap(conn, plan.ref, back, Note("undo", other_ref=first))
        except PointerMoved as moved:
            raise _refuse(
                plan.ref,
                f"commit {first[:8]} was not undone: {moved} is not as that commit left it",
                f"look at what changed it: `millpond history --ref {plan.ref}`",
            ) from moved
    return list_commits(plan.ref, limit=1)[0]


def read_pointers_at(ref: str, moment: dt.datetime) -> dict[str, str]:
    """Return the pointers of all tables of `ref` as they were at `moment`. Raises RefRefused, RefNotFound."""
    with borrow_connection() as conn:
        created = conn.execute("select created_at from lake_refs where name = %s", (ref,)).fetchone()
        if created is None:
            raise missing_ref_error(ref)
        if moment < created[0]:
            raise _refuse(ref, f"there was no ref {ref} at {moment:%Y-%m-%d %H:%M %Z}", "give a later time")
        now = read_pointers(conn, ref)
        since = _group(conn.execute(_LINES_SINCE, {"ref": ref, "at": moment}).fetchall())
    return _go_back(now, since)


def _go_back(now: dict[str, str], since: Sequence[Commit]) -> dict[str, str]:
    """Return the pointers before the commits `since`, the oldest first."""
    then: dict[str, str | None] = dict(now)
    for commit in reversed(since):
        then |= {move.table: move.old for move in commit.moves}
    return {table: location for table, location in then.items() if location}


def find_moment(ref: str, text: str) -> dt.datetime:
    """Return the moment just after the commit whose id begins with `text`. Raises RefRefused, RefNotFound."""
    return _find_commit(list_commits(ref), text, ref).at


def _group(lines: Iterable[_Line]) -> list[Commit]:
    found: dict[str, Commit] = {}
    for commit, line, at, action, other, run_id, table, old, new in lines:
        known = found.setdefault(commit, Commit(commit, line, at, action, other, run_id, ()))
        found[commit] = replace(known, moves=(*known.moves, TableMove(table, old, new)))
    return list(found.values())


def _find_commit(every: Sequence[Commit], text: str, ref: str) -> Commit:
    found = [c for c in every if c.id == text] or [c for c in every if c.id.startswith(text)]
    if len(text) >= SHORTEST_ID and len(found) == 1:
        return found[0]
    if len(text) < SHORTEST_ID:
        why = f"{text!r} is too short for the id of a commit"
    else:
        why = (
            f"{len(found)} commits of {ref} begin with {text!r}" if found else f"{ref} has no commit {text!r}"
        )
    raise _refuse(
        ref, why, f"`millpond history --ref {ref}` lists them; give at least {SHORTEST_ID} characters"
    )


def _refuse_lost_files(ref: str, moves: Iterable[TableMove]) -> None:
    lost = []
    for move in moves:
        try:
            if move.old:
                read_metadata(move.old)
        except (OSError, StorageFailed):
            lost.append(move.table)
    if lost:
        raise _refuse(
            ref,
            f"the earlier version of {', '.join(lost)} is gone: its files were removed by housekeeping",
            "materialize those days again",
        )


def _count_rows(location: str | None) -> int | None:
    try:
        return read_statistics(location)[0] if location else None
    except (OSError, StorageFailed):
        return None


def _count_days(windows: Windows) -> float:
    return float("inf") if windows.parts is None else len(windows.days)


def _refuse(ref: str, what: str, next_step: str) -> RefRefused:
    return RefRefused(what, unharmed=f"every table of {ref}; nothing moved", next_step=next_step)
