"""Table pointers: reading all of a ref in one statement, moving several in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from millpond.errors import ConfigError, RefNotFound
from millpond.lake import nessie
from millpond.naming import MAIN_REF


class PointerMoved(Exception):
    """A pointer was no longer what the commit started from; nothing of the commit happened."""


@dataclass(frozen=True)
class Move:
    """One table's pointer before and after; None where the table is not on the ref."""

    table: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Note:
    """What the ref log says of a change, beside the pointers."""

    action: str
    run_id: str = ""
    other_ref: str = ""
    commit_id: str | None = None


def ref_missing(ref: str) -> RefNotFound:
    """Return the error for a ref that nobody knows."""
    return RefNotFound(
        f"there is no ref {ref!r}",
        unharmed="everything; nothing was read or written",
        next_step="`millpond branch list` shows the refs there are",
    )


def pointers(conn: psycopg.Connection, ref: str, tables: Iterable[str] | None = None) -> dict[str, str]:
    """Return the pointer of `tables` (default: all) on `ref`, from one statement, hence consistent.

    Raises RefNotFound; tables that are not there are left out.
    """
    follow_pointers(conn, ref)
    rows = conn.execute(
        "select t.table_namespace || '.' || t.table_name, t.metadata_location from lake_refs r"
        " left join iceberg_tables t on t.catalog_name = r.name"
        " and coalesce(t.iceberg_type, 'TABLE') = 'TABLE'"
        " and (%s::text[] is null or t.table_namespace || '.' || t.table_name = any(%s::text[]))"
        " where r.name = %s order by 1",
        ((names := None if tables is None else list(tables)), names, ref),
    ).fetchall()
    if not rows:
        raise ref_missing(ref)
    return {table: location for table, location in rows if table}


def follow_pointers(conn: psycopg.Connection, ref: str) -> str:
    """Bring what Postgres knows of a ref's pointers up to date where Nessie keeps them; see `nessie.follow`.

    Raises RefNotFound, ConfigError if Nessie lacks the branch that is to be main.
    """
    try:
        return nessie.follow(conn, ref)
    except nessie.Refused as refused:
        if ref != MAIN_REF:
            raise ref_missing(ref) from refused
        raise ConfigError(
            f"Nessie has no branch {nessie.branch_of(ref)!r}, which is to stand for main",
            unharmed="everything; nothing was read or written",
            next_step="create it in Nessie, or set MILLPOND_NESSIE_BRANCH to one that is there",
        ) from refused


def move(conn: psycopg.Connection, ref: str, moves: Sequence[Move], note: Note, *, merging: str = "") -> None:
    """Move every pointer or none, inside the caller's transaction, and note it in the ref log.

    `merging` names the branch that the moves come from. Raises PointerMoved if a pointer is not at its
    `old`, RefNotFound if the ref was dropped meanwhile.
    """
    share(conn, ref)
    follow_pointers(conn, ref)
    now = lock_pointers(conn, ref, (m.table for m in moves))
    for m in moves:
        if now.get(m.table) != m.old:
            raise PointerMoved(m.table)
    for m in sorted(moves, key=lambda m: m.table):
        _move_one(conn, ref, m)
    log(conn, ref, note, moves)
    if nessie.is_used() and moves:
        try:
            nessie.merge(merging, ref) if merging else nessie.commit(ref, moves, note)
        except nessie.Refused as refused:
            raise PointerMoved(moves[0].table) from refused


def share(conn: psycopg.Connection, ref: str) -> None:
    """Keep `ref` from being merged or dropped until the transaction ends. Raises RefNotFound."""
    if not conn.execute("select 1 from lake_refs where name = %s for key share", (ref,)).fetchone():
        raise ref_missing(ref)


def lock_pointers(conn: psycopg.Connection, ref: str, tables: Iterable[str] | None = None) -> dict[str, str]:
    """Return the pointers of `tables` (default: all) on `ref`, their rows locked in order until commit."""
    names = None if tables is None else list(tables)
    rows = conn.execute(
        "select table_namespace || '.' || table_name, metadata_location from iceberg_tables"
        " where catalog_name = %s and (%s::text[] is null or table_namespace || '.' || table_name = any(%s))"
        " order by table_namespace, table_name for update",
        (ref, names, names),
    ).fetchall()
    return dict(rows)


def log(conn: psycopg.Connection, ref: str, note: Note, moves: Sequence[Move] = ()) -> None:
    """Append one line to the ref log for each move, or one for the ref itself if there is none."""
    lines = [(*m.table.split(".", 1), m.old, m.new) for m in moves] or [("", "", None, None)]
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into lake_ref_log (ref, action, other_ref, run_id, commit_id,"
            " table_namespace, table_name, old_location, new_location)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(ref, note.action, note.other_ref, note.run_id, note.commit_id, *line) for line in lines],
        )


_INSERT = """
insert into iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
values (%(ref)s, %(namespace)s, %(name)s, %(new)s, 'TABLE') on conflict do nothing
"""
_UPDATE = """
update iceberg_tables set metadata_location = %(new)s, previous_metadata_location = %(old)s
where catalog_name = %(ref)s and table_namespace = %(namespace)s and table_name = %(name)s
and metadata_location = %(old)s
"""
_DELETE = """
delete from iceberg_tables
where catalog_name = %(ref)s and table_namespace = %(namespace)s and table_name = %(name)s
and metadata_location = %(old)s
"""


def _move_one(conn: psycopg.Connection, ref: str, m: Move) -> None:
    namespace, name = m.table.split(".", 1)
    sql = _INSERT if m.old is None else _DELETE if m.new is None else _UPDATE
    done = conn.execute(sql, {"ref": ref, "namespace": namespace, "name": name, "old": m.old, "new": m.new})
    if done.rowcount != 1:
        raise PointerMoved(m.table)
