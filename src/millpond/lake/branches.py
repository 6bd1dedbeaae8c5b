"""What creating, merging and dropping branches share, inside a transaction."""

from __future__ import annotations

import psycopg

from millpond.errors import RefRefused
from millpond.lake import nessie
from millpond.lake.pointers import Note, log, ref_missing


def base_of(conn: psycopg.Connection, name: str, *, lock: str = "") -> str:
    """Return the ref a branch was taken from. Raises RefNotFound, LakeError for a ref that is no branch."""
    row = conn.execute(f"select base from lake_refs where name = %s{lock}", (name,)).fetchone()  # noqa: S608
    if not row:
        raise ref_missing(name)
    if row[0] is None:
        raise RefRefused(
            f"{name} is no branch: it cannot be merged, compared or dropped",
            unharmed="everything; nothing was changed",
            next_step="name a branch; `millpond branch list` shows them",
        )
    return str(row[0])


def delete(conn: psycopg.Connection, name: str) -> None:
    """Delete a branch and its pointers, and audit branches that failed runs on it left for a look.

    Raises LakeError if another branch was taken from it.
    """
    above = conn.execute(
        "select name, kept <> '' from lake_refs where base = %s order by name for update", (name,)
    ).fetchall()
    if needing := [other for other, kept in above if not kept]:
        raise RefRefused(
            f"branch {name} cannot be dropped: {', '.join(needing)} was taken from it",
            unharmed="all of them",
            next_step=f"merge or drop those first, for example: `millpond branch drop {needing[0]}`",
        )
    for other, _ in above:
        delete(conn, other)
    for table in ("iceberg_tables", "iceberg_namespace_properties"):
        conn.execute(f"delete from {table} where catalog_name = %s", (name,))  # noqa: S608
    conn.execute("delete from lake_refs where name = %s", (name,))
    log(conn, name, Note("drop branch"))
    if nessie.is_used():
        nessie.drop(name)
