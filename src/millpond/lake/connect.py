"""Connections to the catalog's database: one pool per process."""

from __future__ import annotations

import atexit
import os
import random
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from queue import Empty, Full, LifoQueue
from typing import TYPE_CHECKING

import psycopg

from millpond.errors import EmbeddedPartError, OutcomeUnknown
from millpond.runtime.databases import databases

if TYPE_CHECKING:
    from sqlalchemy import Engine

_IDLE_CONNECTIONS = 4
_OUTCOME_SECONDS = 60.0
"""How long to wait for a restarted Postgres before a commit's outcome is called unknown."""


def connect() -> psycopg.Connection:
    """Return a new connection to the catalog, in autocommit mode.

    Raises EmbeddedPartError if the server refuses; HomeTooNew, HomeTooOld.
    """
    return databases().catalog.connect(autocommit=True)


def reconnect() -> psycopg.Connection:
    """Return a new connection to a catalog whose connection was lost during a commit.

    Raises OutcomeUnknown if it does not come back.
    """
    deadline = time.monotonic() + _OUTCOME_SECONDS
    while True:
        try:
            return connect()
        except EmbeddedPartError as error:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(
                    "the connection to the catalog was lost during a commit and did not come back:"
                    f" {error.what}",
                    unharmed="every table is as it was before or as it is after it, never between",
                    next_step="start Postgres again and repeat the run; it checks whether its rows are there",
                ) from error
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311


@contextmanager
def borrow_connection() -> Iterator[psycopg.Connection]:
    """Yield a connection of this process's pool, in autocommit mode: for short work that holds no lock."""
    idle = _get_pool()
    conn = _take_usable(idle) or connect()
    try:
        yield conn
    finally:
        _give_back(idle, conn)


@contextmanager
def borrow_session() -> Iterator[psycopg.Connection]:
    """Yield a connection of the pool for work that holds session locks, which end with the block.

    They also end if the process does; after an error the connection is closed, and the locks end with it.
    """
    idle, unlocked = _get_pool(), False
    conn = _take_usable(idle) or connect()
    try:
        yield conn
        with suppress(psycopg.OperationalError):  # its end, after the work was done, ends the locks too
            conn.execute("select pg_advisory_unlock_all()")
            unlocked = True
    finally:
        if unlocked:
            _give_back(idle, conn)
        else:
            conn.close()


def _give_back(idle: LifoQueue[psycopg.Connection], conn: psycopg.Connection) -> None:
    usable = not conn.closed and conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    try:
        if usable:
            idle.put_nowait(conn)
    except Full:  # others returned theirs meanwhile; waiting for room could be for ever
        usable = False
    if not usable:
        conn.close()


def get_engine() -> Engine:
    """Return this process's SQLAlchemy engine on the catalog, which PyIceberg's catalog uses."""
    uri = databases().catalog.uri.get_secret_value()
    return _make_engine(os.getpid(), uri)


@lru_cache(8)
def _get_idle(pid: int, uri: str) -> LifoQueue[psycopg.Connection]:  # noqa: ARG001 - they key the cache
    idle: LifoQueue[psycopg.Connection] = LifoQueue(_IDLE_CONNECTIONS)
    atexit.register(_close_idle, pid, idle)
    return idle


def _get_pool() -> LifoQueue[psycopg.Connection]:
    return _get_idle(os.getpid(), databases().catalog.uri.get_secret_value())


def _take_usable(idle: LifoQueue[psycopg.Connection]) -> psycopg.Connection | None:
    """Return an idle connection that still works, None if there is none; closes broken ones."""
    while True:
        try:
            conn = idle.get_nowait()
        except Empty:
            return None
        if _is_open(conn):
            return conn
        conn.close()


def _is_open(conn: psycopg.Connection) -> bool:
    """Return whether the server has not closed a connection, which shows on its socket without a query."""
    if conn.closed:
        return False
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _close_idle(pid: int, idle: LifoQueue[psycopg.Connection]) -> None:
    while pid == os.getpid() and not idle.empty():
        idle.get_nowait().close()


@lru_cache(8)
def _make_engine(pid: int, uri: str) -> Engine:  # noqa: ARG001 - they key the cache
    from sqlalchemy import create_engine  # slow to import, and not needed by readers

    created = create_engine(
        "postgresql+psycopg://", creator=_connect_once, pool_size=4, max_overflow=16, pool_pre_ping=True
    )
    atexit.register(created.dispose)
    return created


def _connect_once() -> psycopg.Connection:
    conn = connect()
    conn.autocommit = False
    return conn
