"""dbt-duckdb's connections: what is written over them past the models goes to the branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millpond.transform.sandbox import Sandbox
from millpond.transform.statements import MAINTENANCE, without_notes

if TYPE_CHECKING:
    from millpond.internals.dbt import LocalEnvironment


class _Cursor:
    """dbt-duckdb's cursor, which prepares the sandbox for what is written."""

    def __init__(self, cursor: Any, sandbox: Sandbox) -> None:
        self._cursor, self._sandbox = cursor, sandbox
        self.touched: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, bindings: Any = None) -> Any:
        if MAINTENANCE.match(without_notes(sql)):
            return self._cursor.execute("select 1")
        with self._sandbox.writing(self._cursor, sql, self.touched):
            return self._cursor.execute(sql, bindings)


class _Handle:
    """dbt-duckdb's handle, which stores what was written over it when it is closed."""

    def __init__(self, handle: Any, sandbox: Sandbox, env: LocalEnvironment) -> None:
        self._handle, self._sandbox, self._env = handle, sandbox, env
        self._cursor = _Cursor(self._handle.cursor(), sandbox)

    def cursor(self) -> _Cursor:
        return self._cursor

    def rollback(self) -> Any:
        return self._handle.rollback()

    def close(self) -> None:
        try:
            self._sandbox.land(self._cursor.touched)
            if self._env.handle_count == 1:
                self._sandbox.sweep()
        finally:
            self._handle.close()


def follow() -> None:
    """Have each handle that dbt-duckdb opens for a plugin with a sandbox store what is written over it."""
    from millpond.internals.dbt import LocalEnvironment, plugins_of

    original: Any = LocalEnvironment.handle
    if hasattr(original, "followed"):
        return

    def handle(env: LocalEnvironment) -> Any:
        opened: Any = original(env)
        sandboxes = [getattr(plugin, "writes", None) for plugin in plugins_of(env)]
        return next((_Handle(opened, s, env) for s in sandboxes if s), opened)

    handle.followed = True  # type: ignore[attr-defined]
    LocalEnvironment.handle = handle  # type: ignore[method-assign]
