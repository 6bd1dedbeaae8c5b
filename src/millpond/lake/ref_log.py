"""The log of a ref: which commits moved the pointers of which tables, and where they led to at a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from millpond.errors import RefRefused
from millpond.lake.connect import borrow_connection
from millpond.lake.pointers import Kind, missing_ref_error, read_pointers

WIPE = "wipe"
"""The action of commits that wiped days; their tables cannot be shown as they were before."""
COMPACT, MERGE_MANIFESTS, EXPIRE = "compact", "merge manifests", "expire"
LAYOUT_ACTIONS = frozenset({COMPACT, MERGE_MANIFESTS, EXPIRE})
"""The actions of commits that change no row: undoing an earlier commit passes over them."""
SHORTEST_ID = 4
"""Characters of a commit's id that must be given at least."""

_LINES = """
select coalesce(l.commit_id, 'log' || l.id) as commit, l.id as line,
    max(l.at) over (partition by coalesce(l.commit_id, 'log' || l.id)) as at, l.action, l.other_ref,
    coalesce(nullif(l.run_id, ''), (select c.run_id from lake_ref_log c
        where l.other_ref <> '' and c.ref = l.other_ref and c.action = 'create branch' and c.id < l.id
        order by c.id desc limit 1), '') as run_id,
    l.table_namespace || '.' || l.table_name as moved, l.old_location, l.new_location,
    l.iceberg_type, l.client
from lake_ref_log l join lake_refs r on r.name = l.ref
where l.ref = %(ref)s and l.table_name <> '' and l.at >= r.created_at
"""
_LINES_SINCE = f"select * from ({_LINES}) as lines where at > %(at)s order by line"  # noqa: S608
_Line = tuple[str, int, dt.datetime, str, str, str, str, str | None, str | None, Kind, str]


@dataclass(frozen=True)
class TableMove:
    """A table or view in a commit: its metadata file before and after; None where it was absent."""

    table: str
    old: str | None
    new: str | None
    kind: Kind = "TABLE"


@dataclass(frozen=True)
class Commit:
    """Pointers that moved together: a merge, a load, an undo; `run_id` is empty if no run did it.

    `client` names who did it: the operating system's user, or the program that did it through the REST
    catalog, and its token. It is empty for loads, which a run did, and for maintenance.
    """

    id: str
    at: dt.datetime
    action: str
    branch: str
    run_id: str
    moves: tuple[TableMove, ...]
    client: str = ""

    @property
    def tables(self) -> list[str]:
        """The tables that it moved."""
        return [move.table for move in self.moves]


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


def read_pointers_at(ref: str, moment: dt.datetime) -> dict[str, str]:
    """Return the pointers of all tables of `ref` as they were at `moment`. Raises RefRefused, RefNotFound."""
    with borrow_connection() as conn:
        created = conn.execute("select created_at from lake_refs where name = %s", (ref,)).fetchone()
        if created is None:
            raise missing_ref_error(ref)
        if moment < created[0]:
            raise refuse(ref, f"there was no ref {ref} at {moment:%Y-%m-%d %H:%M %Z}", "give a later time")
        now = read_pointers(conn, ref)
        since = _group(conn.execute(_LINES_SINCE, {"ref": ref, "at": moment}).fetchall())
    return _go_back(now, since)


def _go_back(now: dict[str, str], since: Sequence[Commit]) -> dict[str, str]:
    """Return the pointers before the commits `since`, the oldest first, without tables wiped since."""
    then: dict[str, str | None] = dict(now)
    for commit in reversed(since):
        then |= {move.table: move.old for move in commit.moves if move.kind == "TABLE"}
    wiped = {table for commit in since if commit.action == WIPE for table in commit.tables}
    return {table: location for table, location in then.items() if location and table not in wiped}


def find_wipes(ref: str, moment: dt.datetime) -> dict[str, Commit]:
    """Return the newest commit since `moment` that wiped days, of each table that had some wiped since."""
    commits = [c for c in list_commits(ref) if c.action == WIPE and c.at > moment]
    return {table: commit for commit in reversed(commits) for table in commit.tables}


def find_moment(ref: str, text: str) -> dt.datetime:
    """Return the moment just after the commit whose id begins with `text`. Raises RefRefused, RefNotFound."""
    return find_commit(list_commits(ref), text, ref, ", or a time in UTC such as 2026-11-01T06:00").at


def _group(lines: Iterable[_Line]) -> list[Commit]:
    found: dict[str, Commit] = {}
    for commit, _, at, action, other, run_id, table, old, new, kind, client in lines:
        known = found.setdefault(commit, Commit(commit, at, action, other, run_id, (), client))
        found[commit] = replace(known, moves=(*known.moves, TableMove(table, old, new, kind)))
    return list(found.values())


def find_commit(every: Sequence[Commit], text: str, ref: str, instead: str = "") -> Commit:
    """Return the commit whose id begins with `text`. Raises RefRefused unless there is exactly one.

    `instead` says what else could be given.
    """
    found = [c for c in every if c.id == text] or [c for c in every if c.id.startswith(text)]
    if len(text) >= SHORTEST_ID and len(found) == 1:
        return found[0]
    if len(text) < SHORTEST_ID:
        why = f"{text!r} is too short for the id of a commit"
    else:
        why = (
            f"{len(found)} commits of {ref} begin with {text!r}" if found else f"{ref} has no commit {text!r}"
        )
    raise refuse(
        ref,
        why,
        f"`millpond history --ref {ref}` lists them; give at least {SHORTEST_ID} characters{instead}",
    )


def refuse(ref: str, what: str, next_step: str) -> RefRefused:
    """Return the error for something that cannot be done with the commits of `ref`."""
    return RefRefused(what, unharmed=f"every table of {ref}; nothing moved", next_step=next_step)
