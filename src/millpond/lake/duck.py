"""DuckDB on the lake: a connection with the tables of a ref attached as `lake`."""

from __future__ import annotations

import os
import weakref

import duckdb

from millpond.lake import pins, rest
from millpond.lake.connect import pooled
from millpond.lake.pointers import pointers
from millpond.naming import literal, quoted
from millpond.runtime.extensions import duckdb_connection
from millpond.settings import settings

DATABASE = "lake"
_SECRET = "lake_token"  # noqa: S105 - the name of DuckDB's secret, not its content


def connect(ref: str | None = None, *, pin: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with `ref` (default: the setting) attached as `lake` and in use.

    Pinned, it shows all tables as they were at this moment and is read-only; otherwise it shows and
    changes the ref as it is. A cursor of it has the lake attached, but not in use: it needs full names,
    `lake.raw.readings`. Raises RefNotFound.
    """
    name = ref or settings().ref
    if not pin:
        with pooled() as conn:
            pointers(conn, name, ())
        return attached(name)
    found = pins.pin(name)
    connection = attached(found.name)
    weakref.finalize(connection, _release, os.getpid(), found.name)
    return connection


def attached(warehouse: str) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with a warehouse of the REST catalog, a ref's or a pin's name, as `lake`."""
    connection = duckdb_connection()
    connection.execute(attach_sql(warehouse))
    connection.execute(f"USE {quoted(DATABASE)}.raw")
    return connection


def attach_sql(warehouse: str, database: str = DATABASE) -> str:
    """Return the statements that attach a warehouse to any DuckDB connection; they hold the token."""
    endpoint = rest.serve()
    token = literal(endpoint.token.get_secret_value())
    return (
        f"CREATE OR REPLACE SECRET {quoted(_SECRET)} (TYPE iceberg, TOKEN {token});"
        f"ATTACH {literal(warehouse)} AS {quoted(database)} (TYPE iceberg, ENDPOINT {literal(endpoint.uri)},"
        f" SECRET {quoted(_SECRET)}, ACCESS_DELEGATION_MODE 'none')"
    )


def _release(pid: int, name: str) -> None:
    if pid == os.getpid():
        pins.release(name)
