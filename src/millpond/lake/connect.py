"""Connections to the catalog's database: one pool per process."""

from __future__ import annotations

import atexit
import os
import random
import time
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING

import psycopg

from millpond.errors import EmbeddedPartError, OutcomeUnknown
from millpond.runtime import idle_connections
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow

if TYPE_CHECKING:
    from sqlalchemy import Engine

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


def borrow_connection() -> AbstractContextManager[psycopg.Connection]:
    """Yield a connection of this process's pool, in autocommit mode: for short work that holds no lock."""
    return borrow(databases().catalog)


def borrow_session() -> AbstractContextManager[psycopg.Connection]:
    """Yield a connection of the pool for work that holds session locks, which end with the block.

    They also end if the process does; after an error the connection is closed, and the locks end with it.
    """
    return idle_connections.borrow_session(databases().catalog)


def get_engine() -> Engine:
    """Return this process's SQLAlchemy engine on the catalog, which PyIceberg's catalog uses."""
    uri = databases().catalog.uri.get_secret_value()
    return _make_engine(os.getpid(), uri)


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
