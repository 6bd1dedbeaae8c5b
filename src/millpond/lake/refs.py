"""Refs: named sets of table pointers. A branch copies pointers, not data; a merge moves them all at once."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from millpond.errors import RefExists, RefNotFound
from millpond.lake import nessie
from millpond.lake.branches import base_of, delete
from millpond.lake.connect import pooled
from millpond.lake.diffs import TableDiff, changed, table_diffs
from millpond.lake.merge import Merged, merge
from millpond.lake.pins import Pin, pin, pinned
from millpond.lake.pointers import Note, follow_pointers, log, ref_missing, share
from millpond.naming import MAIN_REF, ref_name

__all__ = [
    "MAIN_REF",
    "Event",
    "Merged",
    "Pin",
    "Ref",
    "TableDiff",
    "branch",
    "create",
    "diff",
    "drop",
    "history",
    "keep",
    "list_refs",
    "merge",
    "pin",
    "pinned",
]


@dataclass(frozen=True)
class Ref:
    """A ref as it is listed; `base` is None for main."""

    name: str
    base: str | None
    purpose: str
    run_id: str
    created_at: dt.datetime
    tables: int
    changed: int
    kept: str = ""
    """Why a run left its audit branch for a look; empty for any other ref."""

    @property
    def state(self) -> Literal["main", "branch", "audit", "audit kept"]:
        """What the ref is for: a branch that a person made, or that a run made for its audit."""
        if self.base is None:
            return "main"
        if not self.run_id:
            return "branch"
        return "audit kept" if self.kept else "audit"


@dataclass(frozen=True)
class Event:
    """A line of the ref log: a pointer that moved (`table` says whose), or something that befell the ref."""

    at: dt.datetime
    action: str
    table: str
    other_ref: str
    run_id: str


def create(name: str, base: str = MAIN_REF, purpose: str = "", run_id: str = "") -> Ref:
    """Create a branch with the tables of `base` as they are now.

    Raises RefExists, RefNotFound, ConfigError for a name that cannot be.
    """
    ref_name(name)
    with pooled() as conn, conn.transaction():
        share(conn, base)
        head = follow_pointers(conn, base)
        made = conn.execute(
            "insert into lake_refs (name, base, purpose, run_id) values (%s, %s, %s, %s)"
            " on conflict do nothing returning created_at",
            (name, base, purpose, run_id),
        ).fetchone()
        if not made:
            raise RefExists(
                f"there is a ref {name!r} already",
                unharmed="that ref and its tables",
                next_step="choose another name; `millpond branch list` shows those in use"
                if name == MAIN_REF
                else f"choose another name, or drop it: `millpond branch drop {name}`",
            )
        copied = conn.execute(
            "with copied as (insert into iceberg_tables (catalog_name, table_namespace, table_name,"
            " metadata_location, iceberg_type)"
            " select %(name)s, table_namespace, table_name, metadata_location, iceberg_type"
            " from iceberg_tables where catalog_name = %(base)s"
            " returning table_namespace, table_name, metadata_location)"
            " insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
            " select %(name)s, table_namespace, table_name, metadata_location from copied",
            {"name": name, "base": base},
        ).rowcount
        conn.execute(
            "insert into iceberg_namespace_properties select %s, namespace, property_key, property_value"
            " from iceberg_namespace_properties where catalog_name = %s",
            (name, base),
        )
        log(conn, name, Note("create branch", run_id, base))
    if nessie.is_used():
        _create_on_nessie(name, base, head)
    return Ref(name, base, purpose, run_id, made[0], copied, 0)


def list_refs() -> list[Ref]:
    """Return main and all branches, oldest first."""
    with pooled() as conn:
        if nessie.is_used():
            for (name,) in conn.execute("select name from lake_refs").fetchall():
                with suppress(RefNotFound):  # a branch that somebody dropped there can still be dropped here
                    follow_pointers(conn, name)
        rows = conn.execute(
            "select r.name, r.base, r.purpose, r.run_id, r.created_at,"
            " (select count(*) from iceberg_tables t where t.catalog_name = r.name),"
            " case when r.base is null then 0 else (select count(*)"
            " from (select * from iceberg_tables where catalog_name = r.name) t"
            " full join (select * from lake_branch_bases where ref = r.name) b"
            " using (table_namespace, table_name)"
            " where t.metadata_location is distinct from b.metadata_location) end, r.kept"
            " from lake_refs r order by r.created_at, r.name"
        ).fetchall()
    return [Ref(*row) for row in rows]


def branch(name: str) -> Ref:
    """Return one branch. Raises RefNotFound, LakeError for main."""
    with pooled() as conn:
        base_of(conn, name)
    found = [ref for ref in list_refs() if ref.name == name]
    if not found:
        raise ref_missing(name)
    return found[0]


def history(name: str) -> list[Event]:
    """Return what was done to a branch since it was created, oldest first."""
    with pooled() as conn:
        rows = conn.execute(
            "select l.at, l.action, ltrim(l.table_namespace || '.' || l.table_name, '.'), l.other_ref,"
            " l.run_id from lake_ref_log l join lake_refs r on r.name = l.ref"
            " where r.name = %s and l.at >= r.created_at order by l.id",
            (name,),
        ).fetchall()
    return [Event(*row) for row in rows]


def diff(name: str) -> list[TableDiff]:
    """Return what a branch changed since it was taken or last merged. Raises RefNotFound."""
    with pooled() as conn, conn.transaction():
        base_of(conn, name)
        follow_pointers(conn, name)
        return table_diffs(changed(conn, name))


def keep(name: str, why: str) -> None:
    """Note why a run leaves its branch for a look instead of merging it. Raises RefNotFound."""
    with pooled() as conn:
        if not conn.execute("update lake_refs set kept = %s where name = %s", (why, name)).rowcount:
            raise ref_missing(name)


def drop(name: str) -> None:
    """Drop a branch; its files stay until they are swept.

    Raises RefNotFound, LakeError for main and for a ref that others were taken from.
    """
    with pooled() as conn, conn.transaction():
        base_of(conn, name, lock=" for update")
        delete(conn, name)


def _create_on_nessie(name: str, base: str, head: str) -> None:
    """Make Nessie's branch; what Postgres has of it already goes again if Nessie refuses."""
    try:
        nessie.create(name, base, head)
    except BaseException as error:
        with pooled() as conn, conn.transaction():
            for table in ("iceberg_tables", "iceberg_namespace_properties"):
                conn.execute(f"delete from {table} where catalog_name = %s", (name,))  # noqa: S608
            conn.execute("delete from lake_refs where name = %s", (name,))
        if isinstance(error, nessie.Refused) and error.gone:
            raise ref_missing(base) from error
        if isinstance(error, nessie.Refused):
            raise RefExists(
                f"Nessie has a branch {name!r} already, which is none of Millpond's",
                unharmed="that branch",
                next_step="choose another name",
            ) from error
        raise
