"""The dbt-duckdb plugin `lake`: reads from the ref of the build and writes each model to it in one commit."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt_common.exceptions import DbtRuntimeError

from millpond.errors import BuildFailed, MillpondError
from millpond.internals.dbt import get_invocation_id
from millpond.lake import duck, tables
from millpond.lake.connect import borrow_connection
from millpond.lake.metadata import read_comments, read_statistics
from millpond.lake.pointers import read_pointers
from millpond.lake.spec import Replacement
from millpond.runtime.extensions import EXTENSIONS, build_duckdb_config
from millpond.settings import settings
from millpond.transform import batches
from millpond.transform.build import (
    Build,
    describe_write,
    get_build,
    get_current_build,
    get_window,
    make_table_spec,
)
from millpond.transform.column_types import fetch_rows
from millpond.transform.duckdb_answers import answer_from_lake
from millpond.transform.duckdb_handles import HookWrites, store_written_tables
from millpond.transform.invocation import is_interrupted, is_invoking
from millpond.transform.sandbox import Sandbox


class Plugin(BasePlugin):
    """dbt keeps one DuckDB for the life of the process; for each build it shows the build's ref.

    If dbt was called by hand, it works in a `Sandbox`.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Called once, when dbt opens its first connection."""
        self.sandbox: Sandbox | None = None
        """Where dbt works now, if it was called by hand."""
        self._by_hand: Sandbox | None = None
        self._branch: str | None = plugin_config.get("branch")
        self.writes: Sandbox | None = None
        """Stores what statements other than models write."""
        self._of_builds: HookWrites | None = None
        store_written_tables()
        answer_from_lake(self)
        self._cursors = threading.local()
        self._showing = threading.Lock()
        self._ref = ""

    def update_connection_config(self, creds: object, config: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the folder of extensions and the other options of our connections."""
        config.update(build_duckdb_config())

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Load the extensions into the new DuckDB."""
        for extension in EXTENSIONS:
            conn.load_extension(extension)
        self._connection = conn
        self._lake, self._ref = duck.Lake(conn, plain_files=True), ""
        self.sandbox = self._by_hand = self.writes = None
        self._of_builds = HookWrites(self._lake, conn)

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of this thread that was configured last."""
        found: duckdb.DuckDBPyConnection = self._cursors.mine
        return found

    def reuse_handle(self) -> Any:
        """Return a handle that an earlier node of a build left unchanged, None if there is none."""
        if get_current_build() is None or self._of_builds is None:
            return None
        try:
            found = self._of_builds.idle.pop()
        except IndexError:
            return None
        self._configure(found.session, new=False)
        return found

    def list_tables(self) -> Collection[str] | None:
        """Return the tables that the current build sees; None if there is none, or if a hook wrote to one."""
        build = get_current_build()
        if build is None or self._of_builds is None or self._ref != build.ref or self._of_builds.wrote:
            return None
        return self._lake.locations()

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Show the ref of the current build, or what dbt called by hand works on."""
        self._configure(cursor, new=True)

    def _configure(self, cursor: duckdb.DuckDBPyConnection, *, new: bool) -> None:
        self._cursors.mine = cursor
        build = get_current_build()
        if build is None and not is_invoking():
            if is_interrupted(get_invocation_id()):
                raise DbtRuntimeError("this call of dbt was interrupted")
            self._begin_by_hand(cursor)
            self.writes = self.sandbox
            return
        if self.sandbox:
            self.sandbox.leave(cursor)
            self.sandbox = None
        assert self._of_builds is not None
        if build is None or self._ref != build.ref:
            self._of_builds.leave(cursor)
            self._show(cursor, build.ref if build else settings().ref)
        self.writes = self._of_builds if build else None
        if build:
            schema = self.creds.schema if self.creds else "gold"
            self._of_builds.begin_build(cursor, build, schema, new_cursor=new)

    def _begin_by_hand(self, cursor: duckdb.DuckDBPyConnection) -> None:
        with self._showing:
            if self._by_hand is None:
                assert self._connection is not None
                self._by_hand = Sandbox(self._lake, self._connection, self._branch)
                batches.use_one_batch_by_hand()
            self.sandbox, self._ref = self._by_hand, ""
            try:
                self.sandbox.begin(cursor, self.creds.schema if self.creds else "gold")
            except MillpondError as error:
                raise DbtRuntimeError(str(error)) from error

    def _show(self, cursor: duckdb.DuckDBPyConnection, ref: str) -> None:
        with self._showing:
            with borrow_connection() as conn:
                found = read_pointers(conn, ref)
            self._lake.show(cursor, found)
            self._ref = ref

    def store(self, target_config: TargetConfig) -> None:
        """Write a model's result to the model's table on the ref of the build.

        In the format `statistics`, create the temporary table `lake_statistics` of the tables that it shows.
        """
        if target_config.location and target_config.location.format == "statistics":
            self._store_statistics()
            return
        model, result = target_config.config["model"], target_config.config["result"]
        build = None if self.sandbox else self._get_build(model)
        started = time.perf_counter()
        try:
            executed = target_config.config.get("read", False)
            rows = fetch_rows(self.cursor, result, f"model {model['name']}", executed=executed)
        except duckdb.Error as error:
            raise DbtRuntimeError(str(error)) from error
        if build is None:
            self._store_by_hand(model, rows)
            return
        replacement = Replacement(make_table_spec(model, rows.schema), rows, get_window(model))
        (written,) = tables.replace(
            [replacement], ref=build.ref, run_id=build.run_id, known=self._lake.locations()
        )
        self._lake.point(self.cursor, written.table, written.location)
        build.add(
            describe_write(model, written, time.perf_counter() - started, _count_rows_per_day(model, rows))
        )

    def _store_statistics(self) -> None:
        shown = self._lake.locations() | (self.sandbox.stored_locations() if self.sandbox else {})
        cursor = self.cursor
        cursor.execute(
            "create or replace temporary table lake_statistics (table_schema varchar, table_name varchar,"
            " row_count bigint, bytes bigint, written_at timestamp, comment varchar,"
            " column_comments map(varchar, varchar))"
        )
        insert = "insert into lake_statistics values (?, ?, ?, ?, ?, ?, map(?::varchar[], ?::varchar[]))"
        for table, location in shown.items():
            comment, columns = read_comments(location)
            about = (comment, [*columns], [*columns.values()])
            cursor.execute(insert, [*table.split(".", 1), *read_statistics(location), *about])

    def _store_by_hand(self, model: Mapping[str, Any], rows: pa.Table) -> None:
        assert self.sandbox is not None
        try:
            spec = make_table_spec(model, rows.schema, any_schema=True)
            self.sandbox.store(self.cursor, Replacement(spec, rows, get_window(model)))
        except MillpondError as error:
            raise DbtRuntimeError(str(error)) from error

    def _get_build(self, model: Mapping[str, Any]) -> Build:
        build = get_build(model)
        if self._ref != build.ref:
            raise BuildFailed(
                f"model {model['name']} was read from ref {self._ref} but belongs on {build.ref}",
                unharmed="every table",
                next_step="end this process and run again",
            )
        return build


def _count_rows_per_day(model: Mapping[str, Any], rows: pa.Table) -> dict[dt.date, int]:
    column = model["config"].get("event_time")
    if not column:
        return {}
    return {entry["values"]: entry["counts"] for entry in rows[column].value_counts().to_pylist()}
