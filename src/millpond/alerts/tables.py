"""The outbox in schema `ops`: alerts, what was seen, how far was read, deliveries and silences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from millpond.runtime.databases import databases

Connection = psycopg.Connection[dict[str, Any]]


@contextmanager
def outbox() -> Iterator[Connection]:
    """Yield a connection to the outbox; the block is one transaction, kept if it ends without an error.

    Starts Postgres where it does not run.
    """
    with databases().ops.connect(row_factory=dict_row) as connection:
        yield connection
