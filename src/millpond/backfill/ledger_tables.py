"""Short transactions on the ledger, in schema `ops`, that outlive a restart of Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from millpond.runtime.databases import databases

Connection = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")

_PATIENCE_SECONDS, _PAUSE_SECONDS = 30.0, 0.2
_LOCK: Final = 4_701_326_118_204_417_021
"""Advisory lock of who looks for other backfills before beginning one."""


def transaction(work: Callable[[Connection], T], *, alone: bool = False) -> T:
    """Run `work` in one transaction and return what it returns; again if the database breaks off meanwhile.

    `work` must therefore come to the same when it is repeated. With `alone`, nobody else who asks for that
    is in a transaction at the same time. Raises EmbeddedPartError if the database does not come back.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with databases().ops.connect(row_factory=dict_row) as connection:
                if alone:
                    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                return work(connection)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
