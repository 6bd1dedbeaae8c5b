"""DuckDB on the lake: views over the metadata files that a ref's pointers lead to."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import weakref
from collections.abc import Iterable, Mapping

import duckdb

from millpond.lake import pins
from millpond.naming import LAYERS, literal, marts_schema, quoted
from millpond.runtime.databases import databases
from millpond.runtime.extensions import open_duckdb
from millpond.runtime.home import layout
from millpond.runtime.postmaster import find_server as found_server
from millpond.settings import settings

DATABASE = "lake"
_SECRET = "lake_storage"  # noqa: S105 - the name of DuckDB's secret, not its content


class Lake:
    """The database `lake` of one DuckDB: a read-only view for each table.

    A metadata file never changes, so a view shows one version of its table until it is replaced.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, plain_files: bool = False) -> None:
        """With `plain_files`, tables of a few files, written by this process, are read without Iceberg."""
        self._plain_files = plain_files
        self._shown: dict[str, str] = {}
        self._layers: set[str] = set()
        self._changing = threading.Lock()
        connection.execute(f"ATTACH ':memory:' AS {quoted(DATABASE)}")
        if settings().scale:
            connection.execute(_build_secret())
        self._add_layers(connection, LAYERS)

    def show(self, cursor: duckdb.DuckDBPyConnection, pointers: Mapping[str, str]) -> None:
        """Show exactly the tables of `pointers`, which maps each to its metadata file.

        The view of a table whose files cannot be read raises an error that says so.
        """
        with self._changing:
            for table in self._shown.keys() - pointers.keys():
                self._drop(cursor, table)
            self._add_layers(cursor, (table.partition(".")[0] for table in pointers))
            for table, location in pointers.items():
                self._point(cursor, table, location)

    def point(self, cursor: duckdb.DuckDBPyConnection, table: str, location: str) -> None:
        """Show the version of one table at `location`, in all cursors of this DuckDB."""
        with self._changing:
            self._point(cursor, table, location)

    def location(self, table: str) -> str | None:
        """Return the metadata file that the view of a table shows, None if it has no view."""
        return self._shown.get(table)

    def locations(self) -> dict[str, str]:
        """Return the metadata file that each view shows, by table."""
        return dict(self._shown)

    def replace_view(
        self, cursor: duckdb.DuckDBPyConnection, table: str, *, rows: bool, there: bool = True
    ) -> None:
        """Replace a view with a table: with its rows, empty, or (without `there`) with nothing."""
        with self._changing:
            source = f"iceberg_scan({literal(self._shown[table])}){'' if rows else ' LIMIT 0'}"
            self._drop(cursor, table)
            if there:
                cursor.execute(f"CREATE TABLE {_quote_table(table)} AS FROM {source}")

    def forget(self, table: str) -> None:
        """Forget a view that something else replaced."""
        self._shown.pop(table, None)

    def _add_layers(self, cursor: duckdb.DuckDBPyConnection, layers: Iterable[str]) -> None:
        for layer in set(layers) - self._layers:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(DATABASE)}.{quoted(layer)}")
            self._layers.add(layer)

    def _point(self, cursor: duckdb.DuckDBPyConnection, table: str, location: str) -> None:
        if self._shown.get(table) == location:
            return
        view = f"CREATE OR REPLACE VIEW {_quote_table(table)} AS"
        plain = _write_plain_query(location) if self._plain_files else None
        usual = f"SELECT * FROM iceberg_scan({literal(location)})"  # noqa: S608 - quoted
        for query in filter(None, (plain, usual)):
            try:
                cursor.execute(f"{view} {query}")
                break
            except duckdb.Error as error:
                unreadable = f"table {table} cannot be read: {error}"
        else:
            cursor.execute(f"{view} SELECT error({literal(unreadable)}) AS unreadable")
        self._shown[table] = location

    def _drop(self, cursor: duckdb.DuckDBPyConnection, table: str) -> None:
        cursor.execute(f"DROP VIEW IF EXISTS {_quote_table(table)}")
        del self._shown[table]


def _write_plain_query(location: str) -> str | None:
    from millpond.lake.plain_files import write_query  # imports PyIceberg, which readers do without

    return write_query(location)


def connect(
    ref: str | None = None, *, at: dt.datetime | None = None, query: str | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection to the database `lake` with the tables of `ref` (default: the setting).

    It shows all tables as they are now, or were `at` a moment, and cannot write. Its cursors do not use
    `lake` by themselves: they need full names, `lake.raw.readings`. With `query` it shows the tables that
    this text names, as each view takes milliseconds. Raises RefNotFound, RefRefused.
    """
    ref = ref or settings().ref
    found = pins.pin(ref, at=at)
    connection = open_duckdb()
    weakref.finalize(connection, _release, os.getpid(), found.name)
    Lake(connection).show(connection, _select_named(found.pointers, query))
    connection.execute(f"USE {quoted(DATABASE)}.raw")
    return connection


def connect_with_marts(
    ref: str | None = None, *, at: dt.datetime | None = None, query: str | None = None
) -> duckdb.DuckDBPyConnection:
    """Return what `connect` returns, with the marts of the ref attached as `marts`, also read-only."""
    ref = ref or settings().ref
    connection = connect(ref, at=at, query=query)
    if query is not None and not _LISTING.search(query) and "marts" not in query.casefold():
        return connection
    connection.execute("LOAD postgres_scanner")
    uri = databases().marts_readonly.uri.get_secret_value()
    connection.execute(
        f"ATTACH {literal(uri)} AS marts (TYPE postgres, READ_ONLY, SCHEMA {literal(marts_schema(ref))})"
    )
    return connection


_LISTING = re.compile(
    r"information_schema|duckdb_|pg_|sqlite_|\b(show|describe|pragma)\b|(^|[(/\n])\s*desc\b", re.IGNORECASE
)
"""In a query that may list tables without their names."""


def _select_named(pointers: Mapping[str, str], query: str | None) -> Mapping[str, str]:
    if query is None or _LISTING.search(query):
        return pointers
    text = query.casefold()
    return {table: at for table, at in pointers.items() if table.partition(".")[2].casefold() in text}


def _quote_table(table: str) -> str:
    layer, _, name = table.partition(".")
    return f"{quoted(DATABASE)}.{quoted(layer)}.{quoted(name)}"


def _build_secret() -> str:
    configured = settings()
    key, secret = configured.s3_access_key, configured.s3_secret_key
    scheme, _, host = (configured.s3_endpoint or "").partition("://")
    options = {
        "KEY_ID": key and literal(key.get_secret_value()),
        "SECRET": secret and literal(secret.get_secret_value()),
        "REGION": literal(configured.s3_region),
        "ENDPOINT": literal(host) if host else None,
        "URL_STYLE": literal("path") if host else None,
        "USE_SSL": "false" if scheme == "http" else None,
    }
    given = ", ".join(f"{name} {value}" for name, value in options.items() if value)
    return f"CREATE OR REPLACE SECRET {quoted(_SECRET)} (TYPE s3, {given})"


def _release(pid: int, name: str) -> None:
    """Release a pin of this process; does not start a server that was stopped meanwhile."""
    if pid == os.getpid() and (settings().scale or found_server(layout(settings()))):
        pins.release(name)
