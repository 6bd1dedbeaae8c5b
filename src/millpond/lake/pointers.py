"""Table pointers: reading all of a ref in one statement, moving several in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from millpond.errors import ConfigError, RefNotFound
from millpond.lake import nessie
from millpond.naming import MAIN_REF


class PointerMoved(Exception):
    """A pointer has moved since the commit began; nothing was committed."""


@dataclass(frozen=True)
class Move:
    """One table's pointer before and after; None where the table is not on the ref."""

    table: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Note:
    """What the ref log records of a change, in addition to the pointers."""

    action: str
    run_id: str = ""
    other_ref: str = ""
    commit_id: str | None = None


def missing_ref_error(ref: str) -> RefNotFound:
    """Return the error for a ref that does not exist."""
    return RefNotFound(
        f"there is no ref {ref!r}",
        unharmed="everything; nothing was read or written",
        next_step="`millpond branch list` shows the refs",
    )


def read_pointers(conn: psycopg.Connection, ref: str, tables: Iterable[str] | None = None) -> dict[str, str]:
    """Return the pointers of `tables` (default: all) on `ref`, read in one statement, hence consistent.

    Missing tables are left out. Raises RefNotFound.
    """
    refresh_pointers(conn, ref)
    rows = conn.execute(
        "select t.table_namespace || '.' || t.table_name, t.metadata_location from lake_refs r"
        " left join iceberg_tables t on t.catalog_name = r.name"
        " and coalesce(t.iceberg_type, 'TABLE') = 'TABLE'"
        " and (%s::text[] is null or t.table_namespace || '.' || t.table_name = any(%s::text[]))"
        " where r.name = %s order by 1",
        ((names := None if tables is None else list(tables)), names, ref),
    ).fetchall()
    if not rows:
        raise missing_ref_error(ref)
    return {table: location for table, location in rows if table}


def refresh_pointers(conn: psycopg.Connection, ref: str) -> str:
    """Update the copy of a ref's pointers in Postgres if Nessie is the catalog; see `nessie.refresh_copy`.

    Raises RefNotFound, ConfigError if Nessie does not have the branch of main.
    """
    try:
        return nessie.refresh_copy(conn, ref)
    except nessie.NessieRefused as refused:
        if ref != MAIN_REF:
            raise missing_ref_error(ref) from refused
        raise ConfigError(
            f"Nessie has no branch {nessie.branch_name(ref)!r}, which MILLPOND_NESSIE_BRANCH makes main",
            unharmed="everything; nothing was read or written",
            next_step="create it in Nessie, or set MILLPOND_NESSIE_BRANCH to one that exists",
        ) from refused


def move_pointers(
    conn: psycopg.Connection, ref: str, moves: Sequence[Move], note: Note, *, merging: str = ""
) -> None:
    """Move every pointer or none, in the caller's transaction, and write it to the ref log.

    `merging` names the branch that the moves come from. Raises PointerMoved if a pointer is not at its
    `old`, RefNotFound if the ref was dropped.
    """
    lock_ref(conn, ref)
    refresh_pointers(conn, ref)
    now = lock_pointers(conn, ref, (m.table for m in moves))
    for m in moves:
        if now.get(m.table) != m.old:
            raise PointerMoved(m.table)
    for m in sorted(moves, key=lambda m: m.table):
        _move_pointer(conn, ref, m)
    write_log(conn, ref, note, moves)
    if nessie.is_used() and moves:
        try:
            nessie.merge(merging, ref) if merging else nessie.commit(ref, moves, note)
        except nessie.NessieRefused as refused:
            raise PointerMoved(moves[0].table) from refused


def lock_ref(conn: psycopg.Connection, ref: str) -> None:
    """Keep `ref` from being merged or dropped until the transaction ends. Raises RefNotFound."""
    if not conn.execute("select 1 from lake_refs where name = %s for key share", (ref,)).fetchone():
        raise missing_ref_error(ref)


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


def write_log(conn: psycopg.Connection, ref: str, note: Note, moves: Sequence[Move] = ()) -> None:
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


def _move_pointer(conn: psycopg.Connection, ref: str, m: Move) -> None:
    namespace, name = m.table.split(".", 1)
    sql = _INSERT if m.old is None else _DELETE if m.new is None else _UPDATE
    done = conn.execute(sql, {"ref": ref, "namespace": namespace, "name": name, "old": m.old, "new": m.new})
    if done.rowcount != 1:
        raise PointerMoved(m.table)
