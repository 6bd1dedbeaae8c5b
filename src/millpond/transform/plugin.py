"""The dbt-duckdb plugin `lake`: reads from the ref of the build and writes each model to it in one commit."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig

from millpond.errors import BuildFailed
from millpond.lake import duck, tables
from millpond.lake.spec import Replacement, TableSpec
from millpond.partitions import Window
from millpond.runtime.extensions import EXTENSIONS, duckdb_config
from millpond.settings import settings
from millpond.transform.building import Building, Stored, under_way

_PARTITIONING = re.compile(r"'(month|day)\((\w+)\)'")


class Plugin(BasePlugin):
    """dbt keeps one DuckDB for the life of the process, so each build attaches its own ref anew."""

    newest: ClassVar[Plugin | None] = None
    """The one that dbt uses in this process, once it has opened a connection."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Called once, when dbt opens its first connection."""
        self._cursors = threading.local()
        self._attaching = threading.Lock()
        self._attached = ""
        self._connection: duckdb.DuckDBPyConnection | None = None

    def update_connection_config(self, creds: object, config: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the folder of extensions and what else our connections are opened with."""
        config.update(duckdb_config())

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Load the extensions into the new DuckDB."""
        for extension in EXTENSIONS:
            conn.load_extension(extension)
        self._connection = conn
        Plugin.newest = self

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Attach the ref of the build under way, unless an earlier cursor has."""
        build = under_way()
        self._attach(cursor, build.ref if build else settings().ref)
        self._cursors.mine = cursor

    def cursor(self, ref: str) -> duckdb.DuckDBPyConnection | None:
        """Return a cursor with `ref` attached as `lake`; None if dbt has closed this DuckDB.

        Hold invocation.LOCK while it is in use: dbt's next call may attach another ref.
        """
        if self._connection is None:
            return None
        try:
            cursor = self._connection.cursor()
        except duckdb.ConnectionException:
            return None
        cursor.execute("SET TimeZone = 'UTC'")
        self._attach(cursor, ref)
        return cursor

    def _attach(self, cursor: duckdb.DuckDBPyConnection, ref: str) -> None:
        with self._attaching:
            if self._attached != ref:
                if self._attached:
                    cursor.execute(f"detach {duck.DATABASE}")
                    self._attached = ""
                cursor.execute(duck.attach_sql(ref))
                self._attached = ref

    def store(self, target_config: TargetConfig) -> None:
        """Write the temporary table with a model's result to the model's table on the ref of the build."""
        model: dict[str, Any] = target_config.config["model"]
        build = self._build_for(model["name"])
        started = time.perf_counter()
        rows = self._cursors.mine.sql(f"from {target_config.config['result']}").to_arrow_table()
        replacement = Replacement(table_spec(model, rows.schema), rows, window(model))
        (written,) = tables.replace([replacement], ref=build.ref, run_id=build.run_id)
        stored = Stored(model["name"], written, time.perf_counter() - started, _day_rows(model, rows))
        build.stored[model["name"]] = stored
        build.on_event(stored)

    def _build_for(self, model: str) -> Building:
        build = under_way()
        if build is None:
            raise BuildFailed(
                f"model {model} was not written: dbt was started by hand, past the audit",
                unharmed="every table",
                next_step=f"use `millpond materialize {model}`; by hand dbt may compile, show and test",
            )
        if self._attached != build.ref:
            raise BuildFailed(
                f"model {model} was read from ref {self._attached} but belongs on {build.ref}",
                unharmed="every table",
                next_step="end this process and repeat the run",
            )
        if model in build.stored:
            raise BuildFailed(
                f"model {model} was split into several batches of one run",
                unharmed="the ref the run was for; only its branch was written",
                next_step="transform/batches.py does not fit the installed dbt; install the pinned version",
            )
        return build


def table_spec(model: Mapping[str, Any], schema: pa.Schema) -> TableSpec:
    """Return what the lake must know of the table of a model, given as dbt's dictionary of it."""
    config, column = model["config"], model["config"].get("event_time")
    match = _PARTITIONING.search(config.get("properties", {}).get("partitioning", ""))
    grain: Literal["month", "day"] | None = None
    if match and match[2] == column:
        grain = "day" if match[1] == "day" else "month"
    return TableSpec(
        name=f"{model['schema']}.{model['alias']}",
        schema=schema,
        window_column=column,
        key=tuple(config["meta"].get("key", ())),
        grain=grain,
        sort_by=(column,) if column else (),
        comments={name: _one_line(c["description"]) for name, c in model["columns"].items()},
        description=_one_line(model["description"]),
    )


def window(model: Mapping[str, Any]) -> Window | None:
    """Return the window of the batch a model is built for; None for a model that is built whole."""
    batch = model.get("batch")
    if not batch:
        return None
    start, end = (dt.date.fromisoformat(str(batch[f"event_time_{side}"])[:10]) for side in ("start", "end"))
    return Window(start, end)


def _day_rows(model: Mapping[str, Any], rows: pa.Table) -> dict[dt.date, int]:
    column = model["config"].get("event_time")
    if not column:
        return {}
    return {entry["values"]: entry["counts"] for entry in rows[column].value_counts().to_pylist()}


def _one_line(text: str) -> str:
    return " ".join(text.split())
