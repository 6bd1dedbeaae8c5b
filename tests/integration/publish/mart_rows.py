"""The rows of a gold table that is published, and of the mart that comes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import psycopg

from millpond.publish.spec import MartSpec

Connection = psycopg.Connection[Any]
Write = Callable[..., None]
Spec = Callable[..., MartSpec]

DAYS = [{"day": dt.date(2026, 11, n), "readings": 280 + n} for n in range(1, 6)]


def rows(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table in Postgres, sorted by its first column."""
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # type: ignore[arg-type]
