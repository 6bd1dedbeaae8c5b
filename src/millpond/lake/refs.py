"""Refs: named sets of table pointers. A branch copies pointers, not data; a merge moves them all at once."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from millpond.errors import RefExists, RefNotFound
from millpond.lake import nessie
from millpond.lake.branches import TableDiff, delete_branch, diff_tables, get_base, list_changes
from millpond.lake.connect import borrow_connection
from millpond.lake.merge import MergeResult, merge
from millpond.lake.pins import Pin, hold_pin, pin
from millpond.lake.pointers import lock_ref, missing_ref_error, refresh_pointers
from millpond.naming import MAIN_REF, ref_name

__all__ = [
    "MAIN_REF",
    "Event",
    "MergeResult",
    "Pin",
    "Ref",
    "TableDiff",
    "create",
    "diff",
    "drop",
    "get_branch",
    "hold_pin",
    "keep",
    "list_refs",
    "merge",
    "pin",
    "read_history",
]


@dataclass(frozen=True)
class Ref:
    """A ref as `list_refs` returns it; `base` is None for main."""

    name: str
    base: str | None
    purpose: str
    run_id: str
    created_at: dt.datetime
    tables: int
    changed: int
    kept: str = ""
    """Why a run kept its audit branch; empty for any other ref."""

    @property
    def state(self) -> Literal["main", "branch", "audit", "audit kept"]:
        """What the ref is for: a branch that you created, or that a run created for its audit."""
        if self.base is None:
            return "main"
        if not self.run_id:
            return "branch"
        return "audit kept" if self.kept else "audit"


@dataclass(frozen=True)
class Event:
    """A line of the ref log: a pointer that moved (that of `table`), or a change of the ref itself."""

    at: dt.datetime
    action: str
    table: str
    other_ref: str
    run_id: str


_CREATE = """
with base as (select name from lake_refs where name = %(base)s for key share),
created as (
    insert into lake_refs (name, base, purpose, run_id)
    select %(name)s, name, %(purpose)s, %(run_id)s from base on conflict do nothing returning created_at
),
copied as (
    insert into iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
    select %(name)s, table_namespace, table_name, metadata_location, iceberg_type
    from iceberg_tables, created where catalog_name = %(base)s
    returning table_namespace, table_name, metadata_location, iceberg_type
),
bases as (
    insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location, iceberg_type)
    select %(name)s, table_namespace, table_name, metadata_location, coalesce(iceberg_type, 'TABLE')
    from copied
),
namespaces as (
    insert into iceberg_namespace_properties
    select %(name)s, namespace, property_key, property_value
    from iceberg_namespace_properties, created where catalog_name = %(base)s
),
logged as (
    insert into lake_ref_log (ref, action, other_ref, run_id)
    select %(name)s, 'create branch', %(base)s, %(run_id)s from created
)
select (select count(*) from base), (select created_at from created), (select count(*) from copied)
"""
"""Each part reads from another one, so that nothing is copied if the base is gone or the name is in use."""


def create(name: str, base: str = MAIN_REF, purpose: str = "", run_id: str = "") -> Ref:
    """Create a branch with the tables of `base` as they are now.

    Raises RefExists, RefNotFound, ConfigError for an invalid name.
    """
    ref_name(name)
    given = {"name": name, "base": base, "purpose": purpose, "run_id": run_id}
    with borrow_connection() as conn:
        if nessie.is_used():
            with conn.transaction():
                lock_ref(conn, base)
                head = refresh_pointers(conn, base)
                row = conn.execute(_CREATE, given).fetchone()
        else:
            row = conn.execute(_CREATE, given).fetchone()
    assert row is not None
    there, created, copied = row
    if not there:
        raise missing_ref_error(base)
    if not created:
        raise RefExists(
            f"there is a ref {name!r} already",
            unharmed="that ref and its tables",
            next_step="choose another name; `millpond branch list` shows those in use"
            if name == MAIN_REF
            else f"choose another name, or drop it: `millpond branch drop {name}`",
        )
    if nessie.is_used():
        _create_on_nessie(name, base, head)
    return Ref(name, base, purpose, run_id, created, copied, 0)


def list_refs() -> list[Ref]:
    """Return main and all branches, oldest first."""
    with borrow_connection() as conn:
        if nessie.is_used():
            for (name,) in conn.execute("select name from lake_refs").fetchall():
                with suppress(RefNotFound):  # a branch that was dropped in Nessie can still be dropped here
                    refresh_pointers(conn, name)
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


def get_branch(name: str) -> Ref:
    """Return one branch. Raises RefNotFound, LakeError for main."""
    with borrow_connection() as conn:
        get_base(conn, name)
    found = [ref for ref in list_refs() if ref.name == name]
    if not found:
        raise missing_ref_error(name)
    return found[0]


def read_history(name: str) -> list[Event]:
    """Return what was done to a branch since it was created, oldest first."""
    with borrow_connection() as conn:
        rows = conn.execute(
            "select l.at, l.action, ltrim(l.table_namespace || '.' || l.table_name, '.'), l.other_ref,"
            " l.run_id from lake_ref_log l join lake_refs r on r.name = l.ref"
            " where r.name = %s and l.at >= r.created_at order by l.id",
            (name,),
        ).fetchall()
    return [Event(*row) for row in rows]


def diff(name: str) -> list[TableDiff]:
    """Return what a branch changed since it was created or last merged. Raises RefNotFound."""
    with borrow_connection() as conn, conn.transaction():
        get_base(conn, name)
        refresh_pointers(conn, name)
        return diff_tables(list_changes(conn, name))


def keep(name: str, why: str) -> None:
    """Record why a run keeps its branch instead of merging it. Raises RefNotFound."""
    with borrow_connection() as conn:
        if not conn.execute("update lake_refs set kept = %s where name = %s", (why, name)).rowcount:
            raise missing_ref_error(name)


def drop(name: str) -> None:
    """Drop a branch; housekeeping removes its files later.

    Raises RefNotFound, LakeError for main and for a ref that others were created from.
    """
    with borrow_connection() as conn, conn.transaction():
        get_base(conn, name, lock=" for update")
        delete_branch(conn, name)


def _create_on_nessie(name: str, base: str, head: str) -> None:
    """Create the branch in Nessie; if Nessie refuses, remove it from Postgres."""
    try:
        nessie.create(name, base, head)
    except BaseException as error:
        with borrow_connection() as conn, conn.transaction():
            for table in ("iceberg_tables", "iceberg_namespace_properties"):
                conn.execute(f"delete from {table} where catalog_name = %s", (name,))  # noqa: S608
            conn.execute("delete from lake_refs where name = %s", (name,))
        if isinstance(error, nessie.NessieRefused) and error.gone:
            raise missing_ref_error(base) from error
        if isinstance(error, nessie.NessieRefused):
            raise RefExists(
                f"Nessie has a branch {name!r} already, which does not belong to Millpond",
                unharmed="that branch",
                next_step="choose another name",
            ) from error
        raise
