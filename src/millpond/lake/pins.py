"""Pins: the pointers of all tables of a ref at one moment, for readers of several tables."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from millpond.errors import RefNotFound
from millpond.lake.connect import pooled
from millpond.lake.pointers import follow_pointers, ref_missing

PIN_LIFETIME = dt.timedelta(days=1)
"""A pin that nobody released counts as live for so long."""
_MARK = "@"


@dataclass(frozen=True)
class Pin:
    """A frozen, read-only view of a ref: `pointers` maps each table to its metadata location."""

    name: str
    ref: str
    pointers: Mapping[str, str]
    expires_at: dt.datetime


def pin(ref: str, *, lifetime: dt.timedelta = PIN_LIFETIME) -> Pin:
    """Freeze the pointers of all tables of `ref`, taken in one statement. Raises RefNotFound."""
    name = f"{ref}{_MARK}{uuid.uuid4().hex[:12]}"
    with pooled() as conn:
        follow_pointers(conn, ref)
        row = conn.execute(
            "insert into lake_pins (name, ref, pointers, holder, expires_at)"
            " select %s, r.name, coalesce((select jsonb_object_agg(t.table_namespace || '.' || t.table_name,"
            " t.metadata_location) from iceberg_tables t where t.catalog_name = r.name"
            " and coalesce(t.iceberg_type, 'TABLE') = 'TABLE'), '{}'), %s, clock_timestamp() + %s"
            " from lake_refs r where r.name = %s returning pointers, expires_at",
            (name, f"millpond {os.getpid()}", lifetime, ref),
        ).fetchone()
    if not row:
        raise ref_missing(ref)
    return Pin(name, ref, row[0], row[1])


@contextmanager
def pinned(ref: str) -> Iterator[Pin]:
    """Yield a pin of `ref` that is released at the end."""
    found = pin(ref)
    try:
        yield found
    finally:
        release(found.name)


def is_pin(name: str) -> bool:
    """Tell the name of a pin from the name of a ref."""
    return _MARK in name


def pin_named(name: str) -> Pin:
    """Return the pin of that name; raises RefNotFound if it was released or has expired."""
    with pooled() as conn:
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
    """Give a pin back; does nothing if it is gone."""
    with pooled() as conn:
        conn.execute("delete from lake_pins where name = %s", (name,))


def expire_pins() -> int:
    """Drop the pins whose time is over; returns how many."""
    with pooled() as conn:
        return conn.execute("delete from lake_pins where expires_at <= clock_timestamp()").rowcount
