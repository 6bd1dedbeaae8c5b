"""What hooks and macros of a build write past its models, such as a log: it is stored on the audit branch."""

from __future__ import annotations

import duckdb

from millpond.lake import duck
from millpond.naming import quoted
from millpond.transform.building import Building
from millpond.transform.hook_targets import refuse_foreign
from millpond.transform.sandbox import Sandbox


class HookWrites(Sandbox):
    """A sandbox on the branch of a build, for tables of the lake that no model makes and nothing loads."""

    def __init__(self, lake: duck.Lake, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(lake, connection, None)
        self._run_id = ""

    @property
    def run_id(self) -> str:
        """What the snapshots are marked with: the run of the build."""
        return self._run_id

    def begin_build(self, cursor: duckdb.DuckDBPyConnection, build: Building, schema: str) -> None:
        """Have a new cursor of a build use the lake."""
        self.ref, self._run_id = build.ref, build.run_id
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(duck.DATABASE)}.{quoted(schema)}")
        cursor.execute(f"USE {quoted(duck.DATABASE)}.{quoted(schema)}")

    def refuse(self, table: str) -> None:
        """Raise DbtRuntimeError for a table of a model or a source, which hooks do not write in a build."""
        refuse_foreign(table)

    def sweep(self) -> None:
        """Do nothing: each statement of a build is followed."""
