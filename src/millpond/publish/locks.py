"""Locks that others hold: how long a publish waits for them, and who held them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from millpond.errors import MartsHeld, PublishFailed
from millpond.retry import full_jitter
from millpond.settings import settings

T = TypeVar("T")

LOCK_TIMEOUT_MS = 1_000
"""How long one attempt queues for a lock: readers may queue behind it for as long."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_ACQUIRE = (
    "SELECT set_config('lock_timeout', {timeout}, false), set_config('application_name', {name}, false);"
    " SELECT pg_advisory_lock({key})"
)
_READER = "AccessShareLock"
_REPEATABLE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
_HOLDERS = """
SELECT a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed program'), l.mode,
       date_trunc('second', clock_timestamp() - a.xact_start)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.granted AND a.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.relation = ANY(SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
       OR (l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = %s))
ORDER BY l.mode = 'AccessShareLock', a.pid
"""


def acquire_publish_lock(
    connection: psycopg.Connection[Any], schema: str, name: str, refusal: Callable[[], PublishFailed]
) -> None:
    """Keep others from publishing to `schema`, and from dropping it, until `connection` ends or unlocks all.

    They see `name` as the program that they wait for. Raises what `refusal` returns if it takes too long.
    """
    statement = sql.SQL(_ACQUIRE).format(
        timeout=f"{LOCK_TIMEOUT_MS}ms", name=name[:63], key=publish_lock_key(schema)
    )
    retry_locked(lambda: connection.execute(statement, prepare=False), settings().lock_seconds, refusal)


def retry_locked(attempt: Callable[[], T], seconds: float, refusal: Callable[[], PublishFailed]) -> T:
    """Return `attempt()`, retried with random pauses while others hold a lock that it needs.

    After `seconds` raises what `refusal` returns.
    """
    deadline, tries = time.monotonic() + seconds, 0
    while True:
        try:
            return attempt()
        except _REPEATABLE as error:
            tries += 1
            pause = full_jitter(tries, _FIRST_PAUSE, _LONGEST_PAUSE)
            if time.monotonic() + pause > deadline:
                raise refusal() from error
            time.sleep(pause)


def held_error(
    connection: psycopg.Connection[Any], tables: list[str], schema: str, waited: float
) -> PublishFailed:
    """Return the error that names who holds locks on `tables`, or publishes to `schema`."""
    rows = connection.execute(_HOLDERS, (tables, publish_lock_key(schema))).fetchall()
    stronger = [row for row in rows if row[3] != _READER] or rows
    names = [
        f"process {pid} ({user}, {program}, {mode}{f', since {since}' if since else ''})"
        for pid, user, program, mode, since in stronger
    ]
    return MartsHeld(
        f"{', '.join(tables) or schema} could not be written for {waited:g} s: locked by "
        + ("; ".join(names) or "a transaction that has just ended"),
        unharmed="the marts as they were before",
        next_step="wait for that transaction, or end it, and publish again"
        " (MILLPOND_LOCK_SECONDS sets how long a publish waits)",
    )


def publish_lock_key(schema: str) -> int:
    """Return the advisory lock by which publishes to `schema` take turns."""
    digest = hashlib.blake2b(f"millpond publish {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
