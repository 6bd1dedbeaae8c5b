"""Connections to the catalog's database: one engine per process, its tables made on first use."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import psycopg
from sqlalchemy import Engine, create_engine

from millpond.errors import OutcomeUnknown
from millpond.lake.ddl import ensure_tables
from millpond.runtime.databases import Database, databases

RECONNECT_SECONDS = 60.0
"""How long to wait for a restarted Postgres before a commit's outcome is called unknown."""


def database() -> Database:
    """Return the catalog's database, started on demand, its tables in place."""
    found = databases().catalog
    catalog_tables(os.getpid(), found.uri.get_secret_value())
    return found


def connection() -> psycopg.Connection:
    """Return a new connection to the catalog, in autocommit mode."""
    return database().connect(autocommit=True)


@contextmanager
def pooled() -> Iterator[psycopg.Connection]:
    """Lend a connection of this process's pool, in autocommit mode: for short work that holds no lock."""
    borrowed = engine().raw_connection()
    conn = cast("psycopg.Connection", borrowed.driver_connection)
    try:
        conn.autocommit = True
        yield conn
    finally:
        if conn.closed:
            borrowed.invalidate()
        else:
            conn.autocommit = False
        borrowed.close()


def engine() -> Engine:
    """Return this process's SQLAlchemy engine on the catalog."""
    found = database()
    return _engine(os.getpid(), found.sqlalchemy_uri.get_secret_value())


def reconnection() -> psycopg.Connection:
    """Return a connection to a catalog that just broke off, waiting for it to come back.

    Raises OutcomeUnknown if it does not within RECONNECT_SECONDS.
    """
    deadline = time.monotonic() + RECONNECT_SECONDS
    while True:
        try:
            return connection()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(
                    "the catalog broke off during a commit and did not come back"
                    f" within {RECONNECT_SECONDS:.0f} s",
                    unharmed="every table is as it was before or as it is after it, never between",
                    next_step="start Postgres again and repeat the run; it finds out what is there",
                ) from error
            time.sleep(0.1)


@lru_cache(8)
def catalog_tables(pid: int, uri: str) -> None:  # noqa: ARG001 - they key the cache
    """See to it, once per process and server, that the catalog's tables and `main` exist."""
    with databases().catalog.connect(autocommit=True) as conn:
        ensure_tables(conn)


@lru_cache(8)
def _engine(pid: int, uri: str) -> Engine:  # noqa: ARG001 - keys the cache
    made = create_engine(uri, pool_size=4, max_overflow=16, pool_pre_ping=True, pool_recycle=600)
    atexit.register(made.dispose)
    return made
