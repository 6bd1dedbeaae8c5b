"""Connections to databases that this process keeps open between uses: a new one takes milliseconds."""

from __future__ import annotations

import atexit
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from queue import Empty, Full, LifoQueue
from typing import Any, Final, LiteralString

import psycopg

from millpond.runtime.databases import Database

Connection = psycopg.Connection[Any]

_KEPT: Final = {"catalog": 4}
"""How many are kept of each database, where it is not one."""
_UNLOCK: Final = "select pg_advisory_unlock_all()"


class _Idle(LifoQueue[Connection]):
    """The idle connections of a database."""

    keeps = True
    """Whether it still takes connections, which others may give back while the process ends."""


@contextmanager
def borrow(database: Database) -> Iterator[Connection]:
    """Yield a connection in autocommit mode, for short work that holds no lock and changes no setting."""
    idle = _get_idle(os.getpid(), database)
    conn = _take_usable(idle) or database.connect(autocommit=True)
    try:
        yield conn
    finally:
        _give_back(idle, conn)


@contextmanager
def borrow_session(database: Database, end: LiteralString = _UNLOCK) -> Iterator[Connection]:
    """Yield a connection in autocommit mode for work that holds session locks, which end with the block.

    They also end if the process does; after an error the connection is closed, and the locks end with it.
    The statements of `end` take back what else the work leaves in its session.
    """
    idle, ended = _get_idle(os.getpid(), database), False
    conn = _take_usable(idle) or database.connect(autocommit=True)
    try:
        yield conn
        with suppress(psycopg.OperationalError):  # its end, after the work was done, ends the locks too
            conn.execute(end, prepare=False)
            ended = True
    finally:
        if ended:
            _give_back(idle, conn)
        else:
            conn.close()


@lru_cache(32)
def _get_idle(pid: int, database: Database) -> _Idle:
    idle = _Idle(_KEPT.get(database.key, 1))
    atexit.register(_close_idle, pid, idle)
    return idle


def _take_usable(idle: _Idle) -> Connection | None:
    """Return an idle connection that still works, None if there is none; closes broken ones."""
    while True:
        try:
            conn = idle.get_nowait()
        except Empty:
            return None
        if _is_open(conn):
            return conn
        conn.close()


def _give_back(idle: _Idle, conn: Connection) -> None:
    usable = (
        idle.keeps and not conn.closed and conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    )
    try:
        if usable:
            idle.put_nowait(conn)
    except Full:  # others returned theirs meanwhile; waiting for room could be for ever
        usable = False
    if not usable:
        conn.close()


def _is_open(conn: Connection) -> bool:
    """Return whether the server has not closed a connection, which shows on its socket without a query."""
    if conn.closed:
        return False
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _close_idle(pid: int, idle: _Idle) -> None:
    idle.keeps = False
    while pid == os.getpid() and not idle.empty():
        idle.get_nowait().close()
