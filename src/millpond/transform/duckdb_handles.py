"""dbt-duckdb's connections: what hooks and macros write through them goes to the branch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import duckdb

from millpond.lake import duck
from millpond.naming import quoted
from millpond.transform.build import Build, refuse_foreign_table
from millpond.transform.sandbox import Sandbox
from millpond.transform.statements import MAINTENANCE, strip_comments

if TYPE_CHECKING:
    from millpond.internals.dbt import LocalEnvironment

_READ: Final = re.compile(r"(?:select|from|with|describe)\b[^;]*\Z", re.IGNORECASE)
"""A single statement that changes nothing in its session."""
_RESULT: Final = re.compile(
    r'(?:create or replace temporary table|(?P<drop>drop) table) (?P<name>"temp"\."main"\."\w+__result")'
)
"""A statement of our materializations about the rows of a model."""


class HookWrites(Sandbox):
    """A sandbox on the branch of a build, for tables of the lake that belong to no model and no source."""

    def __init__(self, lake: duck.Lake, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(lake, connection, None)
        self._run_id = ""
        self._made: tuple[str, str] | None = None
        """The branch and schema that were used last."""
        self.idle: list[_Handle] = []
        """Open handles that no node uses."""
        self.wrote = False
        """Whether a hook or macro of this build wrote to a table."""

    @property
    def run_id(self) -> str:
        """The run of the build, which the snapshots are marked with."""
        return self._run_id

    def begin_build(
        self, cursor: duckdb.DuckDBPyConnection, build: Build, schema: str, *, new_cursor: bool
    ) -> None:
        """Have a cursor of a build use the lake."""
        if self.ref != build.ref:
            self.wrote = False
        self.ref, self._run_id = build.ref, build.run_id
        if self._made != (build.ref, schema):
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(duck.DATABASE)}.{quoted(schema)}")
            self._made = build.ref, schema
        if new_cursor:
            cursor.execute(f"USE {quoted(duck.DATABASE)}.{quoted(schema)}")

    def refuse(self, table: str) -> None:
        """Raise DbtRuntimeError for a table of a model or a source, which hooks of a build must not write."""
        refuse_foreign_table(table)
        self.wrote = True

    def sweep(self) -> None:
        """Do nothing: in a build, each statement is stored."""


class _Cursor:
    """dbt-duckdb's cursor, which prepares the sandbox for each statement."""

    def __init__(self, cursor: Any, sandbox: Sandbox) -> None:
        self._cursor, self._sandbox = cursor, sandbox
        self.touched: set[str] = set()
        self._temporary: set[str] = set()
        self._changed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    @property
    def unchanged(self) -> bool:
        """Whether the session is as it was opened: without settings, transactions and temporary tables."""
        return not self._changed and not self._temporary

    def execute(self, sql: str, bindings: Any = None) -> Any:
        text = strip_comments(sql)
        if MAINTENANCE.match(text):
            return self._cursor.execute("select 1")
        if result := _RESULT.match(text):
            change = self._temporary.discard if result["drop"] else self._temporary.add
            change(result["name"])
        elif not _READ.match(text):
            self._changed = True
        with self._sandbox.prepare_writes(self._cursor, sql, self.touched):
            return self._cursor.execute(sql, bindings)


class _Handle:
    """dbt-duckdb's handle, which stores what was written through it when it is closed.

    One of a build whose session is unchanged stays open, for a later node.
    """

    def __init__(self, handle: Any, lake: LakePlugin, env: LocalEnvironment) -> None:
        assert lake.writes is not None
        self._handle, self._sandbox, self._env = handle, lake.writes, env
        self._cursor, self.session = _Cursor(self._handle.cursor(), lake.writes), lake.cursor

    def cursor(self) -> _Cursor:
        return self._cursor

    def rollback(self) -> Any:
        return self._handle.rollback()

    def close(self) -> None:
        kept = False
        try:
            self._sandbox.store_tables(self._cursor.touched)
            if self._env.handle_count == 1:
                self._sandbox.sweep()
            kept = isinstance(self._sandbox, HookWrites) and self._cursor.unchanged
        finally:
            if kept:
                cast("HookWrites", self._sandbox).idle.append(self)
                self._env.notify_closed()  # type: ignore[no-untyped-call]
            else:
                self._handle.close()


class LakePlugin(Protocol):
    """What a handle needs of the plugin `lake`."""

    writes: Sandbox | None
    cursor: duckdb.DuckDBPyConnection
    """Of this thread."""

    def reuse_handle(self) -> Any:
        """Return a handle that an earlier node of a build left unchanged, None if there is none."""


def store_written_tables() -> None:
    """Have each handle that dbt-duckdb opens for a plugin with a sandbox store what is written through it."""
    from millpond.internals.dbt import LocalEnvironment, list_plugins

    original: Any = LocalEnvironment.handle
    if hasattr(original, "stores_tables"):
        return

    def handle(env: LocalEnvironment) -> Any:
        lakes: list[LakePlugin] = [each for each in list_plugins(env) if hasattr(each, "reuse_handle")]
        for lake in lakes:
            if found := lake.reuse_handle():
                with env.lock:
                    env.handle_count += 1
                return found
        opened: Any = original(env)
        return next((_Handle(opened, lake, env) for lake in lakes if lake.writes), opened)

    handle.stores_tables = True  # type: ignore[attr-defined]
    LocalEnvironment.handle = handle  # type: ignore[method-assign]
