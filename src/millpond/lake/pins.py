"""Pins: the pointers of all tables of a ref at one moment, for readers of several tables."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from millpond.errors import RefNotFound
from millpond.lake.connect import borrow_connection
from millpond.lake.pointers import missing_ref_error, refresh_pointers
from millpond.lake.ref_log import read_pointers_at

PIN_LIFETIME = dt.timedelta(days=1)
"""How long a pin that is not released keeps its files."""
_MARK = "@"


@dataclass(frozen=True)
class Pin:
    """A frozen, read-only view of a ref: `pointers` maps each table to its metadata location."""

    name: str
    ref: str
    pointers: Mapping[str, str]
    expires_at: dt.datetime


def pin(ref: str, *, lifetime: dt.timedelta = PIN_LIFETIME, at: dt.datetime | None = None) -> Pin:
    """Freeze the pointers of all tables of `ref`, read in one statement, or those of an earlier moment.

    Raises RefNotFound, RefRefused if the ref did not exist at that moment.
    """
    pointers = None if at is None else json.dumps(read_pointers_at(ref, at))
    name = f"{ref}{_MARK}{uuid.uuid4().hex[:12]}"
    with borrow_connection() as conn:
        refresh_pointers(conn, ref)
        row = conn.execute(
            "insert into lake_pins (name, ref, pointers, holder, expires_at)"
            " select %s, r.name, coalesce(%s::jsonb, (select"
            " jsonb_object_agg(t.table_namespace || '.' || t.table_name, t.metadata_location)"
            " from iceberg_tables t where t.catalog_name = r.name"
            " and coalesce(t.iceberg_type, 'TABLE') = 'TABLE'), '{}'), %s, clock_timestamp() + %s"
            " from lake_refs r where r.name = %s returning pointers, expires_at",
            (name, pointers, f"millpond {os.getpid()}", lifetime, ref),
        ).fetchone()
    if not row:
        raise missing_ref_error(ref)
    return Pin(name, ref, row[0], row[1])


@contextmanager
def hold_pin(ref: str) -> Iterator[Pin]:
    """Yield a pin of `ref` that is released at the end."""
    found = pin(ref)
    try:
        yield found
    finally:
        release(found.name)


def is_pin(name: str) -> bool:
    """Return whether `name` is that of a pin, not of a ref."""
    return _MARK in name


def get_pin(name: str) -> Pin:
    """Return the pin of that name; raises RefNotFound if it was released or has expired."""
    with borrow_connection() as conn:
        row = conn.execute(
            "select name, ref, pointers, expires_at from lake_pins"
            " where name = %s and expires_at > clock_timestamp()",
            (name,),
        ).fetchone()
    if not row:
        raise RefNotFound(
            f"there is no pin {name!r}; it was released or has expired",
            unharmed="everything; pins only keep files for readers",
            next_step="pin the ref again",
        )
    return Pin(*row)


def release(name: str) -> None:
    """Release a pin; does nothing if it is gone."""
    with borrow_connection() as conn:
        conn.execute("delete from lake_pins where name = %s", (name,))


def expire_pins(*, dry_run: bool = False) -> int:
    """Drop expired pins; returns how many, also with `dry_run`."""
    way = "select from" if dry_run else "delete from"
    with borrow_connection() as conn:
        return conn.execute(f"{way} lake_pins where expires_at <= clock_timestamp()").rowcount
