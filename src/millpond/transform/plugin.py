"""The dbt-duckdb plugin `lake`: reads from the ref of the build and writes each model to it in one commit."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt_common.exceptions import DbtRuntimeError

from millpond.errors import BuildFailed
from millpond.lake import duck, tables
from millpond.lake.connect import pooled
from millpond.lake.pointers import pointers
from millpond.lake.spec import Replacement
from millpond.runtime.extensions import EXTENSIONS, duckdb_config
from millpond.settings import settings
from millpond.transform.building import Building, Stored, under_way
from millpond.transform.storing import build_for, table_spec, window


class Plugin(BasePlugin):
    """dbt keeps one DuckDB for the life of the process, so each build has it show the build's own ref."""

    newest: ClassVar[Plugin | None] = None
    """The one that dbt uses in this process, once it has opened a connection."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Called once, when dbt opens its first connection."""
        self._cursors = threading.local()
        self._showing = threading.Lock()
        self._ref = ""
        self._connection: duckdb.DuckDBPyConnection | None = None

    def update_connection_config(self, creds: object, config: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the folder of extensions and what else our connections are opened with."""
        config.update(duckdb_config())

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Load the extensions into the new DuckDB."""
        for extension in EXTENSIONS:
            conn.load_extension(extension)
        self._connection = conn
        self._lake, self._ref = duck.Lake(conn), ""
        Plugin.newest = self

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Show the ref of the build under way, as it is now if dbt was started by hand."""
        build = under_way()
        if build is None or self._ref != build.ref:
            self._show(cursor, build.ref if build else settings().ref)
        self._cursors.mine = cursor

    def cursor(self, ref: str) -> duckdb.DuckDBPyConnection | None:
        """Return a cursor that shows `ref` as it is now as `lake`; None if dbt has closed this DuckDB.

        Hold invocation.LOCK while it is in use: dbt's next call may show another ref.
        """
        if self._connection is None:
            return None
        try:
            cursor = self._connection.cursor()
        except duckdb.ConnectionException:
            return None
        cursor.execute("SET TimeZone = 'UTC'")
        self._show(cursor, ref)
        return cursor

    def _show(self, cursor: duckdb.DuckDBPyConnection, ref: str) -> None:
        with self._showing:
            with pooled() as conn:
                found = pointers(conn, ref)
            self._lake.show(cursor, found)
            self._ref = ref

    def store(self, target_config: TargetConfig) -> None:
        """Write a model's result, a temporary view, to the model's table on the ref of the build."""
        model: dict[str, Any] = target_config.config["model"]
        build = self._build_for(model)
        started = time.perf_counter()
        try:
            rows = self._cursors.mine.execute(f"from {target_config.config['result']}").to_arrow_table()
        except duckdb.Error as error:
            raise DbtRuntimeError(str(error)) from error
        replacement = Replacement(table_spec(model, rows.schema), rows, window(model))
        (written,) = tables.replace([replacement], ref=build.ref, run_id=build.run_id)
        with pooled() as conn:
            (written_at,) = pointers(conn, build.ref, (replacement.table.name,)).items()
        self._lake.point(self._cursors.mine, *written_at)
        stored = Stored(model["unique_id"], written, time.perf_counter() - started, _day_rows(model, rows))
        build.stored[stored.unique_id] = stored
        build.on_event(stored)

    def _build_for(self, model: Mapping[str, Any]) -> Building:
        build = build_for(model)
        if self._ref != build.ref:
            raise BuildFailed(
                f"model {model['name']} was read from ref {self._ref} but belongs on {build.ref}",
                unharmed="every table",
                next_step="end this process and repeat the run",
            )
        return build


def _day_rows(model: Mapping[str, Any], rows: pa.Table) -> dict[dt.date, int]:
    column = model["config"].get("event_time")
    if not column:
        return {}
    return {entry["values"]: entry["counts"] for entry in rows[column].value_counts().to_pylist()}
