"""dbt-duckdb's connections: what hooks and macros write through them goes to the branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from millpond.lake import duck
from millpond.naming import quoted
from millpond.transform.build import Build, refuse_foreign_table
from millpond.transform.sandbox import Sandbox
from millpond.transform.statements import MAINTENANCE, strip_comments

if TYPE_CHECKING:
    from millpond.internals.dbt import LocalEnvironment


class HookWrites(Sandbox):
    """A sandbox on the branch of a build, for tables of the lake that belong to no model and no source."""

    def __init__(self, lake: duck.Lake, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(lake, connection, None)
        self._run_id = ""
        self._made: tuple[str, str] | None = None
        """The branch and schema that were used last."""

    @property
    def run_id(self) -> str:
        """The run of the build, which the snapshots are marked with."""
        return self._run_id

    def begin_build(self, cursor: duckdb.DuckDBPyConnection, build: Build, schema: str) -> None:
        """Have a new cursor of a build use the lake."""
        self.ref, self._run_id = build.ref, build.run_id
        if self._made != (build.ref, schema):
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(duck.DATABASE)}.{quoted(schema)}")
            self._made = build.ref, schema
        cursor.execute(f"USE {quoted(duck.DATABASE)}.{quoted(schema)}")

    def refuse(self, table: str) -> None:
        """Raise DbtRuntimeError for a table of a model or a source, which hooks of a build must not write."""
        refuse_foreign_table(table)

    def sweep(self) -> None:
        """Do nothing: in a build, each statement is stored."""


class _Cursor:
    """dbt-duckdb's cursor, which prepares the sandbox for each statement."""

    def __init__(self, cursor: Any, sandbox: Sandbox) -> None:
        self._cursor, self._sandbox = cursor, sandbox
        self.touched: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, bindings: Any = None) -> Any:
        if MAINTENANCE.match(strip_comments(sql)):
            return self._cursor.execute("select 1")
        with self._sandbox.prepare_writes(self._cursor, sql, self.touched):
            return self._cursor.execute(sql, bindings)


class _Handle:
    """dbt-duckdb's handle, which stores what was written through it when it is closed."""

    def __init__(self, handle: Any, sandbox: Sandbox, env: LocalEnvironment) -> None:
        self._handle, self._sandbox, self._env = handle, sandbox, env
        self._cursor = _Cursor(self._handle.cursor(), sandbox)

    def cursor(self) -> _Cursor:
        return self._cursor

    def rollback(self) -> Any:
        return self._handle.rollback()

    def close(self) -> None:
        try:
            self._sandbox.store_tables(self._cursor.touched)
            if self._env.handle_count == 1:
                self._sandbox.sweep()
        finally:
            self._handle.close()


def store_written_tables() -> None:
    """Have each handle that dbt-duckdb opens for a plugin with a sandbox store what is written through it."""
    from millpond.internals.dbt import LocalEnvironment, list_plugins

    original: Any = LocalEnvironment.handle
    if hasattr(original, "stores_tables"):
        return

    def handle(env: LocalEnvironment) -> Any:
        opened: Any = original(env)
        sandboxes = [getattr(plugin, "writes", None) for plugin in list_plugins(env)]
        return next((_Handle(opened, s, env) for s in sandboxes if s), opened)

    handle.stores_tables = True  # type: ignore[attr-defined]
    LocalEnvironment.handle = handle  # type: ignore[method-assign]
