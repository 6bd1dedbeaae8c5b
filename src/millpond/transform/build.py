"""The build in progress: what the runner passes to the plugin inside dbt, and how each result is stored."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from millpond.errors import BuildFailed, MillpondError
from millpond.lake.hashing import Digest
from millpond.lake.spec import TableSpec, Written
from millpond.naming import LAYERS
from millpond.partitions import Window
from millpond.settings import settings
from millpond.transform.manifest import load_project_or_last
from millpond.transform.models import read_key_columns

_PARTITIONING = re.compile(r"'(month|day)\((\w+)\)'")
_WRITABLE = [layer for layer in LAYERS if layer != "raw"]


@dataclass(frozen=True)
class ModelWrite:
    """A model's result that was written to the branch; `seconds` are those of the write."""

    unique_id: str
    written: Written
    seconds: float
    day_rows: Mapping[dt.date, int]
    """Rows of each day that has rows; empty for a model that is built whole."""


@dataclass
class Build:
    """A build on one branch."""

    ref: str
    run_id: str
    on_event: Callable[[ModelWrite], None]
    full_refresh: bool = False
    """Whether daily models are built whole, as dbt does with `--full-refresh`."""
    stored: dict[str, ModelWrite] = field(default_factory=dict)
    """By the unique_id of the model."""
    owners: Mapping[str, str] | None = None
    """The unique_id of each table's model; None until it is needed."""
    server_errors: list[MillpondError] = field(default_factory=list)
    """Errors of a server, not of a model."""

    def add(self, stored: ModelWrite) -> None:
        """Record that a model was written."""
        self.stored[stored.unique_id] = stored
        self.on_event(stored)


_now: list[Build] = []


@contextmanager
def use_build(build: Build) -> Iterator[Build]:
    """Make `build` the current build within the block; hold invocation.LOCK around it."""
    _now.append(build)
    try:
        yield build
    finally:
        _now.remove(build)


def get_current_build() -> Build | None:
    """Return the current build of this process, None if dbt was started by hand."""
    return _now[-1] if _now else None


def get_build(model: Mapping[str, Any]) -> Build:
    """Return the build that a model's result belongs to; raises BuildFailed if dbt was started by hand."""
    build, name = get_current_build(), model["name"]
    if build is None:
        raise BuildFailed(
            f"model {name} was not written: dbt was started by hand, without an audit",
            unharmed="every table",
            next_step=f"use `millpond materialize {name}`; by hand dbt may compile, show and test",
        )
    if model["unique_id"] in build.stored:
        raise BuildFailed(
            f"model {name} was split into several batches of one run",
            unharmed="the ref the run was for; only its branch was written",
            next_step="transform/batches.py does not fit the installed dbt; install the pinned version",
        )
    return build


def make_table_spec(model: Mapping[str, Any], schema: pa.Schema, *, any_schema: bool = False) -> TableSpec:
    """Return the spec of a model's table; `model` is dbt's dictionary of it."""
    config, column = model["config"], model["config"].get("event_time")
    match = _PARTITIONING.search(config.get("properties", {}).get("partitioning", ""))
    grain: Literal["month", "day"] | None = None
    if match and match[2] == column:
        grain = "day" if match[1] == "day" else "month"
    return TableSpec(
        name=f"{model['schema']}.{model['alias']}",
        schema=schema,
        window_column=column,
        key=tuple(read_key_columns(model)),
        grain=grain,
        sort_by=(column,) if column else (),
        comments={name: _join_lines(c["description"]) for name, c in model["columns"].items()},
        description=_join_lines(model["description"]),
        drops=config.get("on_schema_change") == "sync_all_columns",
        any_schema=any_schema,
    )


def get_window(model: Mapping[str, Any]) -> Window | None:
    """Return the window that a model's result replaces; None for the whole table."""
    build = get_current_build()
    if build and build.full_refresh and model["config"].get("full_refresh") is not False:
        return None
    return _get_batch(model)


def describe_write(
    model: Mapping[str, Any], written: Written, seconds: float, rows: Mapping[Any, int]
) -> ModelWrite:
    """Return the record of a model that was written; `rows` are the rows of each day.

    For a table that was replaced whole it includes the days of its batch that have no rows.
    Raises BuildFailed for rows of other days.
    """
    batch = _get_batch(model)
    if batch is None:
        return ModelWrite(model["unique_id"], written, seconds, rows)
    if outside := sorted(map(str, set(rows) - set(batch.days))):
        raise BuildFailed(
            f"model {model['name']} returned rows of {outside[0]}, which is outside {batch}",
            unharmed="the ref the run was for; only its branch was written",
            next_step=f"correct its {model['config']['event_time']}",
        )
    days = {day: written.day_hashes.get(day, Digest().hex) for day in batch.days}
    return ModelWrite(model["unique_id"], replace(written, day_hashes=days), seconds, rows)


def _get_batch(model: Mapping[str, Any]) -> Window | None:
    batch = model.get("batch")
    if not batch:
        return None
    start, end = (dt.date.fromisoformat(str(batch[f"event_time_{side}"])[:10]) for side in ("start", "end"))
    return Window(start, end)


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def refuse_foreign_table(table: str) -> None:
    """Raise DbtRuntimeError for a table of a model or a source, which hooks of a build must not write."""
    layer = table.partition(".")[0]
    if owner := _find_owners().get(table):
        why, instead = f"{owner} builds it", "put it into the SQL of the model"
    elif layer not in _WRITABLE:
        why, instead = f"{layer} is not one of the layers {', '.join(_WRITABLE)}", "write to one of them"
    else:
        return
    from dbt_common.exceptions import DbtRuntimeError

    raise DbtRuntimeError(
        f"{table} was not written by a hook or macro: {why}; {instead}, or build by hand on a branch"
    )


def _find_owners() -> Mapping[str, str]:
    """Return the model of each table; a build looks once, not at each of its statements."""
    build = get_current_build()
    if build and build.owners is not None:
        return build.owners
    projects = load_project_or_last(settings())
    every = projects.models().values() if projects else ()
    owners = {model.table: model.unique_id for model in every}
    if build:
        build.owners = owners
    return owners
