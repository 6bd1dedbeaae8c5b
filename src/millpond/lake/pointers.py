"""Table pointers: reading all of a ref in one statement, moving several in one transaction."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from millpond.errors import ConfigError, RefNotFound
from millpond.lake import nessie
from millpond.lake.connect import borrow_connection
from millpond.naming import MAIN_REF

Kind = Literal["TABLE", "VIEW"]
"""What a pointer leads to, as PyIceberg and Trino name it in the catalog."""


class PointerMoved(Exception):
    """A pointer has moved since the commit began; nothing was committed."""


@dataclass(frozen=True)
class Move:
    """The pointer of a table or view before and after; None where it is not on the ref."""

    table: str
    old: str | None
    new: str | None
    kind: Kind = "TABLE"


@dataclass(frozen=True)
class Note:
    """What the ref log records of a change, in addition to the pointers; `client` is who asked for it."""

    action: str
    run_id: str = ""
    other_ref: str = ""
    commit_id: str | None = None
    client: str = ""


def find_user() -> str:
    """Return the name of the operating system's user, for what a person asks for."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}"


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


def find_kind(ref: str, name: str) -> tuple[Kind, str] | None:
    """Return whether a table or a view has a name on `ref`, and its metadata location; None if neither."""
    with borrow_connection() as conn:
        row = conn.execute(
            "select coalesce(iceberg_type, 'TABLE'), metadata_location from iceberg_tables"
            " where catalog_name = %s and table_namespace || '.' || table_name = %s",
            (ref, name),
        ).fetchone()
    return (row[0], row[1]) if row else None


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


def move_pointers(conn: psycopg.Connection, ref: str, moves: Sequence[Move], note: Note) -> None:
    """Move every pointer or none, in the caller's transaction, and write it to the ref log.

    Raises PointerMoved if a pointer is not at its `old`, RefNotFound if the ref was dropped.
    """
    lock_ref(conn, ref)
    refresh_pointers(conn, ref)
    now = lock_pointers(conn, ref, (m.table for m in moves))
    for m in moves:
        if now.get(m.table) != m.old:
            raise PointerMoved(m.table)
    write_pointers(conn, ref, moves, note)


def write_pointers(
    conn: psycopg.Connection, ref: str, moves: Sequence[Move], note: Note, *, merging: str = ""
) -> None:
    """Do what `move_pointers` does, for a caller that has locked the ref and the pointers.

    `merging` names the branch that the moves come from. Raises PointerMoved.
    """
    _write_places(conn, ref, moves)
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
    lines = [(*m.table.rsplit(".", 1), m.old, m.new, m.kind) for m in moves] or [
        ("", "", None, None, "TABLE")
    ]
    conn.execute(
        "insert into lake_ref_log (ref, action, other_ref, run_id, commit_id, client,"
        " table_namespace, table_name, old_location, new_location, iceberg_type)"
        " select %s, %s, %s, %s, %s, %s, *"
        " from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])",
        (
            *(ref, note.action, note.other_ref, note.run_id, note.commit_id, note.client),
            *map(list, zip(*lines, strict=True)),
        ),
    )


_MOVED = """
with moved as (select * from unnest(
    %(namespaces)s::text[], %(names)s::text[], %(old)s::text[], %(new)s::text[], %(kinds)s::text[]
) as m(namespace, name, old, new, kind))
"""
_INSERT = f"""{_MOVED}
insert into iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
select %(ref)s, namespace, name, new, kind from moved order by 2, 3 on conflict do nothing
"""  # noqa: S608
_SAME = """
t.catalog_name = %(ref)s and t.table_namespace = m.namespace and t.table_name = m.name
and t.metadata_location = m.old and coalesce(t.iceberg_type, 'TABLE') = m.kind
"""
_UPDATE = f"""{_MOVED}
update iceberg_tables t set metadata_location = m.new, previous_metadata_location = m.old
from moved m where {_SAME}
"""  # noqa: S608
_DELETE = f"{_MOVED} delete from iceberg_tables t using moved m where {_SAME}"  # noqa: S608


def _write_places(conn: psycopg.Connection, ref: str, moves: Sequence[Move]) -> None:
    """Write the new places of pointers whose rows are locked, one statement for each kind of move."""
    for sql, some in (
        (_DELETE, [m for m in moves if m.old is not None and m.new is None]),
        (_UPDATE, [m for m in moves if m.old is not None and m.new is not None]),
        (_INSERT, [m for m in moves if m.old is None]),
    ):
        if not some:
            continue
        namespaces, names = zip(*(m.table.rsplit(".", 1) for m in some), strict=True)
        columns = {"namespaces": list(namespaces), "names": list(names), "kinds": [m.kind for m in some]}
        places = {"old": [m.old for m in some], "new": [m.new for m in some]}
        if conn.execute(sql, {"ref": ref, **columns, **places}).rowcount != len(some):
            raise PointerMoved(", ".join(m.table for m in some))
