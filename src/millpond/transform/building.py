"""The build under way: what the runner tells the plugin inside dbt, and how each result is stored."""

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
from millpond.transform.manifest import described
from millpond.transform.models import key_columns

_PARTITIONING = re.compile(r"'(month|day)\((\w+)\)'")
_WRITABLE = [layer for layer in LAYERS if layer != "raw"]


@dataclass(frozen=True)
class Stored:
    """A model's result after it was written to the branch; `seconds` are the write's alone."""

    unique_id: str
    written: Written
    seconds: float
    day_rows: Mapping[dt.date, int]
    """Rows of each day that has any; empty for a model that is built whole."""


@dataclass
class Building:
    """A build on one branch."""

    ref: str
    run_id: str
    on_event: Callable[[Stored], None]
    full_refresh: bool = False
    """Whether daily models are built whole, as dbt does with `--full-refresh`."""
    stored: dict[str, Stored] = field(default_factory=dict)
    """By the unique_id of the model."""
    makers: Mapping[str, str] | None = None
    """Of each table that a model makes, its unique_id; None until something asks."""
    broken_off: list[MillpondError] = field(default_factory=list)
    """What says that a server broke off, not that a model is wrong."""

    def add(self, stored: Stored) -> None:
        """Note that a model was written."""
        self.stored[stored.unique_id] = stored
        self.on_event(stored)


_now: list[Building] = []


@contextmanager
def building(build: Building) -> Iterator[Building]:
    """Make `build` the one that dbt's plugin works for within the block; hold invocation.LOCK around it."""
    _now.append(build)
    try:
        yield build
    finally:
        _now.remove(build)


def under_way() -> Building | None:
    """Return the build of this process, None where dbt was started by hand."""
    return _now[-1] if _now else None


def build_for(model: Mapping[str, Any]) -> Building:
    """Return the build that a model's result belongs to; raises BuildFailed where dbt was started by hand."""
    build, name = under_way(), model["name"]
    if build is None:
        raise BuildFailed(
            f"model {name} was not written: dbt was started by hand, past the audit",
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


def table_spec(model: Mapping[str, Any], schema: pa.Schema, *, any_schema: bool = False) -> TableSpec:
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
        key=tuple(key_columns(model)),
        grain=grain,
        sort_by=(column,) if column else (),
        comments={name: _one_line(c["description"]) for name, c in model["columns"].items()},
        description=_one_line(model["description"]),
        drops=config.get("on_schema_change") == "sync_all_columns",
        any_schema=any_schema,
    )


def window(model: Mapping[str, Any]) -> Window | None:
    """Return the window that a model's result replaces; None if it replaces the whole table."""
    build = under_way()
    if build and build.full_refresh and model["config"].get("full_refresh") is not False:
        return None
    return _batch(model)


def stored(model: Mapping[str, Any], written: Written, seconds: float, rows: Mapping[Any, int]) -> Stored:
    """Return what the build hears of a model that was written; `rows` are those of each day.

    A table that was replaced whole also reports the days of its batch that have no rows.
    Raises BuildFailed for rows of other days.
    """
    batch = _batch(model)
    if batch is None:
        return Stored(model["unique_id"], written, seconds, rows)
    if outside := sorted(map(str, set(rows) - set(batch.days))):
        raise BuildFailed(
            f"model {model['name']} returned rows of {outside[0]}, which is outside {batch}",
            unharmed="the ref the run was for; only its branch was written",
            next_step=f"correct its {model['config']['event_time']}",
        )
    days = {day: written.day_hashes.get(day, Digest().hex) for day in batch.days}
    return Stored(model["unique_id"], replace(written, day_hashes=days), seconds, rows)


def _batch(model: Mapping[str, Any]) -> Window | None:
    batch = model.get("batch")
    if not batch:
        return None
    start, end = (dt.date.fromisoformat(str(batch[f"event_time_{side}"])[:10]) for side in ("start", "end"))
    return Window(start, end)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def refuse_foreign(table: str) -> None:
    """Raise DbtRuntimeError for a table of a model or a source, which hooks do not write in a build."""
    layer = table.partition(".")[0]
    if owner := _makers().get(table):
        why, instead = f"{owner} makes it", "put it into the SQL of the model"
    elif layer not in _WRITABLE:
        why, instead = f"{layer} is none of the layers {', '.join(_WRITABLE)}", "write to one of them"
    else:
        return
    from dbt_common.exceptions import DbtRuntimeError

    raise DbtRuntimeError(
        f"{table} was not written by a hook or macro: {why}; {instead}, or build by hand on a branch"
    )


def _makers() -> Mapping[str, str]:
    """Return which model makes each table; a build looks once, not at each of its statements."""
    build = under_way()
    if build and build.makers is not None:
        return build.makers
    projects = described(settings())
    every = projects.models().values() if projects else ()
    makers = {model.table: model.unique_id for model in every}
    if build:
        build.makers = makers
    return makers
