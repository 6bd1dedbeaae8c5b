"""Where dbt called by hand works: the tables of a branch, to which everything that it writes is stored."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import yaml
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

from millpond.errors import MillpondError, RefExists
from millpond.internals.dbt import get_flags, get_invocation_id
from millpond.lake import duck, pins, refs, tables
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.pointers import read_pointers
from millpond.lake.spec import Replacement, TableSpec
from millpond.naming import MAIN_REF, identifier, quoted
from millpond.settings import settings
from millpond.transform.column_types import fetch_rows
from millpond.transform.statements import Target, find_targets

_LOG = AdapterLogger("Millpond")


class Sandbox:
    """The database `lake` of a DuckDB as dbt by hand uses it, and what it writes to the branch.

    A table is a view of the lake until a statement writes to it. Then it becomes a table of this DuckDB,
    which is stored whenever the connection that wrote to it is closed: after each node, hook or test.
    """

    def __init__(self, lake: duck.Lake, connection: duckdb.DuckDBPyConnection, branch: str | None) -> None:
        self.ref = ""
        self._lake, self._connection, self._branch = lake, connection, branch
        self._pin: pins.Pin | None = None
        self._invocation = ""
        self._own: dict[str, str | None] = {}
        """Tables that are not views of the lake here, with the pointers at which they were stored."""
        self._lock = threading.RLock()
        atexit.register(self._unpin)

    @property
    def run_id(self) -> str:
        """The id with which snapshots of this call of dbt are marked."""
        return f"dbt_{self._invocation}"

    def begin(self, cursor: duckdb.DuckDBPyConnection, schema: str) -> None:
        """Have a new cursor use the lake; a call of dbt sees the branch as it is at its beginning."""
        with self._lock:
            if self._invocation != get_invocation_id():
                _refuse_another_time_zone()
                self._pin_branch(cursor)
                self._invocation = get_invocation_id()
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(duck.DATABASE)}.{quoted(schema)}")
            cursor.execute(f"USE {quoted(duck.DATABASE)}.{quoted(schema)}")
            cursor.execute("SET VARIABLE by_hand = true")

    def leave(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Remove what is not a view of the lake, for a build that shows its own branch."""
        with self._lock:
            for table in list(self._own):
                self._forget(cursor, table)
            self._invocation = ""
            self._unpin()

    @contextmanager
    def prepare_writes(self, cursor: Any, sql: str, touched: set[str]) -> Iterator[None]:
        """Prepare the tables that `sql` writes to, and add them to `touched`.

        Raises DbtRuntimeError for tables that cannot be stored, before anything is written.
        """
        undo: dict[str, str] = {}
        for target in find_targets(sql):
            for table in self._find_tables(cursor, target):
                self.refuse(table)
                touched.add(table)
                with self._lock:
                    location = self._lake.location(table)
                    if location and target.write != "create":
                        rows, there = target.write == "change", target.write != "replace"
                        self._lake.replace_view(cursor, table, rows=rows, there=there)
                        self._own[table] = location
                        if target.write != "change":
                            undo[table] = location
        try:
            yield
        except BaseException:
            with self._lock, suppress(duckdb.Error):
                for table, location in undo.items():
                    self._forget(cursor, table)
                    self._lake.point(cursor, table, location)
            raise

    def refuse(self, table: str) -> None:
        """Raise DbtRuntimeError if dbt works on main."""
        if self.ref == MAIN_REF:
            raise DbtRuntimeError(
                f"{table} was not written: dbt by hand does not write to main\n"
                "Unharmed: every table of main\n"
                "Next: leave out `--target main` to work on a branch, or use `millpond materialize`"
            )

    def store(self, cursor: duckdb.DuckDBPyConnection, replacement: Replacement) -> None:
        """Write a model's result to the branch and show it."""
        table = replacement.table.name
        self.refuse(table)
        with self._lock:
            tables.replace([replacement], ref=self.ref, run_id=self.run_id)
            if table in self._own:
                self._forget(cursor, table)
            self._lake.point(cursor, table, self._pointers([table])[table])

    def store_tables(self, touched: set[str]) -> None:
        """Store the tables in `touched`; raises DbtRuntimeError, and then shows those of the branch again."""
        if not touched:
            return
        names, cursor = sorted(touched), self._connection.cursor()
        touched.clear()
        with self._lock:
            cursor.execute("SET TimeZone = 'UTC'")
            try:
                self._store_tables(cursor, names)
            except (MillpondError, duckdb.Error) as error:
                on_branch = self._pointers(names)
                for table in names:
                    self._forget(cursor, table)
                    if table in on_branch:
                        self._lake.point(cursor, table, on_branch[table])
                raise DbtRuntimeError(str(error)) from error

    def stored_locations(self) -> dict[str, str]:
        """Return where the tables that are not views of the lake here were last stored."""
        return {table: location for table, location in self._own.items() if location}

    def sweep(self) -> None:
        """Store tables that no recognized statement wrote; refuse those outside the lake."""
        cursor = self._connection.cursor()
        known = self._own.keys() | self._lake.locations().keys()
        self.store_tables({table for table in self._list_tables(cursor, duck.DATABASE) if table not in known})
        if outside := sorted(self._list_tables(cursor, "memory")):
            for table in outside:
                _drop(cursor, "memory", table)
            raise DbtRuntimeError(
                f"not stored: {', '.join(outside)} in the database memory, which is lost when dbt ends\n"
                "Unharmed: every table of the lake\n"
                f"Next: write to the database {duck.DATABASE}, for example with `+database: {duck.DATABASE}`"
            )

    def _pin_branch(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.ref = self._branch or (settings().ref if settings().ref != MAIN_REF else settings().dbt_branch)
        if self.ref != MAIN_REF and self.ref not in (known := {r.name: r for r in refs.list_refs()}):
            with suppress(RefExists):
                refs.create(self.ref, purpose="dbt by hand")
            _LOG.info(f"on the new branch {self.ref} of main; `millpond branch diff {self.ref}` compares it")
        elif self.ref != MAIN_REF:
            _LOG.info(
                f"on branch {self.ref}, created from main at {known[self.ref].created_at:%Y-%m-%d %H:%M} UTC;"
                f" after `millpond branch drop {self.ref}` the next call starts from main again"
            )
        else:
            _LOG.info("on main, which dbt by hand only reads")
        self._unpin()
        self._pin = pins.pin(self.ref)
        found = self._pin.pointers
        for table in [t for t, location in self._own.items() if found.get(t) != location]:
            self._forget(cursor, table)
        self._lake.show(cursor, {t: location for t, location in found.items() if t not in self._own})

    def _unpin(self) -> None:
        if self._pin:
            with suppress(MillpondError):
                pins.release(self._pin.name)
            self._pin = None

    def _store_tables(self, cursor: duckdb.DuckDBPyConnection, names: list[str]) -> None:
        there = self._list_tables(cursor, duck.DATABASE)
        before = self._pointers(names)
        written = [t for t in names if t in there and not self._lake.location(t)]
        gone = [t for t in names if t not in there]
        replacements = [_make_replacement(cursor, table) for table in written]
        if replacements:
            tables.replace(replacements, ref=self.ref, run_id=self.run_id)
        for table in gone:
            if table in before:
                LakeCatalog(self.ref).drop_table(table)
            self._own.pop(table, None)
        if written:
            self._own |= self._pointers(written)

    def _pointers(self, names: list[str]) -> dict[str, str]:
        with borrow_connection() as conn:
            return read_pointers(conn, self.ref, names)

    def _find_tables(self, cursor: Any, target: Target) -> list[str]:
        """Return the tables of the lake that a target names; raises DbtRuntimeError for other tables."""
        name = [part.lower() for part in target.name]
        if target.write == "drop schema":
            if name[:-1] in ([], [duck.DATABASE]):
                every = self._list_tables(cursor, duck.DATABASE)
                return [table for table in every if table.partition(".")[0] == name[-1]]
            return []
        if len(name) == 1:
            if _is_temporary(cursor, name[0]):
                return []
            name = [
                *(str(p) for p in _fetch_one(cursor, "select current_database(), current_schema()")),
                name[0],
            ]
        if len(name) == 2:
            name = [duck.DATABASE if name[0] not in ("temp", "memory") else name[0], *name]
        if name[0] == "temp":
            return []
        if name[0] != duck.DATABASE:
            raise DbtRuntimeError(
                f"{'.'.join(target.name)} was not written: the database {name[0]} is lost when dbt ends\n"
                "Unharmed: every table of the lake\n"
                f"Next: write to the database {duck.DATABASE}, for example with `+database: {duck.DATABASE}`"
            )
        try:
            return [f"{identifier(name[1], 'schema')}.{identifier(name[2], 'table')}"]
        except MillpondError as error:
            raise DbtRuntimeError(str(error)) from error

    def _list_tables(self, cursor: Any, database: str) -> set[str]:
        rows = cursor.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
            " where database_name = $1 and not temporary"
            " union all select schema_name || '.' || view_name from duckdb_views()"
            " where database_name = $1 and not internal and not temporary",
            [database],
        ).fetchall()
        return {str(row[0]).lower() for row in rows}

    def _forget(self, cursor: Any, table: str) -> None:
        _drop(cursor, duck.DATABASE, table)
        self._lake.forget(table)
        self._own.pop(table, None)


def _refuse_another_time_zone() -> None:
    """Raise DbtRuntimeError if dbt is called with a time zone other than the settings'."""
    flags: Any = get_flags()  # type: ignore[no-untyped-call]
    file = Path(str(getattr(flags, "PROJECT_DIR", "."))) / "dbt_project.yml"
    declared = (yaml.safe_load(file.read_text()) or {}).get("vars", {}) if file.exists() else {}
    if "timezone" not in declared:
        return
    zone = {**declared, **(getattr(flags, "VARS", None) or {})}["timezone"]
    if zone != settings().timezone:
        raise DbtRuntimeError(
            f"dbt was called with the time zone {zone}, but days of this home are in {settings().timezone}\n"
            "Unharmed: everything; nothing was read or written\n"
            f"Next: add `--vars '{{timezone: {settings().timezone}}}'`"
        )


def _make_replacement(cursor: duckdb.DuckDBPyConnection, table: str) -> Replacement:
    rows = fetch_rows(cursor, _quote_table(duck.DATABASE, table), table)
    notes = cursor.execute(
        "select column_name, comment from duckdb_columns() where database_name = $1"
        " and lower(schema_name || '.' || table_name) = $2 and comment is not null",
        [duck.DATABASE, table],
    ).fetchall()
    spec = TableSpec(table, rows.schema, comments=dict(notes), any_schema=True)
    return Replacement(spec, rows, None)


def _drop(cursor: Any, database: str, table: str) -> None:
    for kind in ("VIEW", "TABLE"):
        with suppress(duckdb.CatalogException):
            cursor.execute(f"DROP {kind} IF EXISTS {_quote_table(database, table)}")


def _quote_table(database: str, table: str) -> str:
    schema, _, name = table.partition(".")
    return f"{quoted(database)}.{quoted(schema)}.{quoted(name)}"


def _is_temporary(cursor: Any, name: str) -> bool:
    there = "select count(*) from duckdb_tables() where temporary and lower(table_name) = $1"
    views = "select count(*) from duckdb_views() where temporary and not internal and lower(view_name) = $1"
    return any(cursor.execute(sql, [name]).fetchone()[0] for sql in (there, views))


def _fetch_one(cursor: Any, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = cursor.execute(sql).fetchone()
    return row
