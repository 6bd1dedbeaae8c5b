"""What of a model, as dbt describes it, decides how its result is stored, whichever engine computed it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from millpond.errors import BuildFailed
from millpond.lake.hashing import Digest
from millpond.lake.spec import TableSpec, Written
from millpond.partitions import Window
from millpond.transform.building import Building, Stored, under_way
from millpond.transform.models import key_columns

_PARTITIONING = re.compile(r"'(month|day)\((\w+)\)'")


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
