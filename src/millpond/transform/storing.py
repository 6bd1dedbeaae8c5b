"""What of a model, as dbt describes it, decides how its result is stored, whichever engine computed it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from millpond.errors import BuildFailed
from millpond.lake.spec import TableSpec
from millpond.partitions import Window
from millpond.transform.building import Building, under_way

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
        key=tuple(config["meta"].get("key", ())),
        grain=grain,
        sort_by=(column,) if column else (),
        comments={name: _one_line(c["description"]) for name, c in model["columns"].items()},
        description=_one_line(model["description"]),
        any_schema=any_schema,
    )


def window(model: Mapping[str, Any]) -> Window | None:
    """Return the window of the batch a model is built for; None for a model that is built whole."""
    batch = model.get("batch")
    if not batch:
        return None
    start, end = (dt.date.fromisoformat(str(batch[f"event_time_{side}"])[:10]) for side in ("start", "end"))
    return Window(start, end)


def _one_line(text: str) -> str:
    return " ".join(text.split())
