"""One writer per table and ref: session locks in Postgres, acquired in a fixed order, with a timeout."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from millpond.errors import LockTimeout
from millpond.lake.connect import borrow_session
from millpond.settings import settings

_HOLDER = (
    "select a.pid, a.application_name, a.state, clock_timestamp() - a.backend_start from pg_locks l"
    " join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted and l.objsubid = 1"
    " and l.database = (select oid from pg_database where datname = current_database())"
    " and ((l.classid::bigint << 32) | l.objid::bigint) = %s"
)

_TRY_LOCKS = (
    "select set_config('application_name', %s, false), pg_try_advisory_lock(key)"
    " from unnest(%s::bigint[]) as key"
)


@contextmanager
def lock_tables(ref: str, tables: Iterable[str], *, run_id: str) -> Iterator[psycopg.Connection]:
    """Hold the write locks of `tables` on `ref`; yields the connection that holds them.

    The locks end with the connection, also if this process is killed.
    Raises LockTimeout, which names the holder, after `settings.lock_seconds`.
    """
    allowed = settings().lock_seconds
    deadline = time.monotonic() + allowed
    with borrow_session() as conn:
        name = f"millpond {os.getpid()} {run_id}".strip()
        wanted = sorted(set(tables))
        if not _try_locks(conn, ref, wanted, name[:63]):
            for table in wanted:
                _acquire_lock(conn, ref, table, deadline, allowed)
        yield conn


@contextmanager
def build_lock(ref: str, *, alone: bool) -> Iterator[None]:
    """Hold the lock of builds on `ref` within the block, shared with those of all processes.

    With `alone`, waits until all others are done and keeps later ones waiting. Ends with the process.
    """
    lock = "pg_advisory_lock" if alone else "pg_advisory_lock_shared"
    with borrow_session() as conn:
        conn.execute(f"select {lock}(%s)", (_hash_key(f"millpond build {ref}"),))
        yield


def lock_key(ref: str, table: str) -> int:
    """Return the advisory lock key of a table on a ref, a signed 64-bit integer."""
    return _hash_key(f"millpond write {ref} {table}")


def _hash_key(what: str) -> int:
    return int.from_bytes(hashlib.blake2b(what.encode(), digest_size=8).digest(), signed=True)


def _try_locks(conn: psycopg.Connection, ref: str, tables: Sequence[str], name: str) -> bool:
    """Name the session, and acquire the locks of all tables, in one statement, or none.

    Returns whether all were free.
    """
    keys = [lock_key(ref, table) for table in tables]
    found = conn.execute(_TRY_LOCKS, (name, keys)).fetchall()
    if all(free for (_, free) in found):
        return True
    conn.execute("select pg_advisory_unlock_all()")
    return False


def _acquire_lock(conn: psycopg.Connection, ref: str, table: str, deadline: float, allowed: float) -> None:
    key = lock_key(ref, table)
    timeout = max(1, round((deadline - time.monotonic()) * 1000))
    conn.execute("select set_config('lock_timeout', %s, false)", (str(timeout),))
    try:
        conn.execute("select pg_advisory_lock(%s)", (key,))
    except psycopg.errors.LockNotAvailable as error:
        raise LockTimeout(
            f"{table} on ref {ref} is being written by {_describe_holder(conn, key)}; waited {allowed:g} s",
            unharmed="the table; nothing of this write is visible",
            next_step="wait for that run to end, or end it, and repeat this one"
            " (MILLPOND_LOCK_SECONDS sets how long a write waits)",
        ) from error
    conn.execute("select set_config('lock_timeout', '0', false)")


def _describe_holder(conn: psycopg.Connection, key: int) -> str:
    row = conn.execute(_HOLDER, (key,)).fetchone()
    if not row:
        return "another writer, which has just finished"
    pid, name, state, since = row
    return (
        f"{name or 'an unnamed session'} (Postgres session {pid}, {state}, for {since.total_seconds():.0f} s)"
    )
