"""What daily models go through whose columns change, under each `on_schema_change`, and by a full refresh."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from millpond.lake import read
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.transform.plan import plan_full_refresh
from millpond.transform.results import AuditFailed, BuildResult
from millpond.transform.runner import build
from small_projects import Write

FIRST, SECOND = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
RULES = {"ignored": "ignore", "failing": "fail", "added": "append_new_columns", "synced": "sync_all_columns"}
_MODEL = (
    "{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day',"
    " batch_size='day', begin='2024-01-01'{rule}) }}}} select {columns}"
    " from {{{{ source('raw', 'orders') }}}} -- all"
)
_FILES = {
    "models/sources.yml": "sources: [{name: raw, schema: raw, tables: [{name: orders,"
    " config: {event_time: day}, columns: [{name: day, data_type: date}]}]}]"
}
Row = dict[str, object]


def live_through_column_changes(write_project: Write) -> None:
    """Add a column to models and take one away: each does with them what dbt documents of its config."""

    def returning(columns: str) -> None:
        rules = {name: f", on_schema_change='{rule}'" for name, rule in RULES.items()} | {"unset": ""}
        models = {f"models/{name}.sql": _MODEL.format(rule=r, columns=columns) for name, r in rules.items()}
        write_project(_FILES | models)

    rows = pa.table({"day": [FIRST, SECOND], "amount": [1, 2]})
    replace([Replacement(TableSpec("raw.orders", rows.schema, "day"), rows, None)], ref="main", run_id="test")
    returning("day, amount, 'a' as kind")
    assert _built([*RULES, "unset"], FIRST).merged

    returning("day, amount, 'a' as kind, amount * 2 as twice")
    result = _built(["ignored", "unset", "added", "synced"], SECOND)
    assert result.merged
    warned = [text for text in result.warnings if "on_schema_change is 'ignore'" in text]
    assert sorted(text.split()[1] for text in warned) == ["ignored", "unset"]
    first, second = {"day": FIRST, "amount": 1, "kind": "a"}, {"day": SECOND, "amount": 2, "kind": "a"}
    for name in ("ignored", "unset"):
        assert _rows(name) == [first, second]
    for name in ("added", "synced"):
        assert _rows(name) == [first | {"twice": None}, second | {"twice": 4}]
    with pytest.raises(AuditFailed, match="failing adds twice, and its on_schema_change is 'fail'"):
        _built(["failing"], SECOND)

    returning("day, amount")
    assert _built(["added"], SECOND).merged
    assert _rows("added")[1] == second | {"kind": None, "twice": None}
    assert _built(["synced"], SECOND).merged
    assert _rows("synced") == [{"day": FIRST, "amount": 1}, {"day": SECOND, "amount": 2}]
    for name, gone in (("ignored", "kind"), ("failing", "kind")):
        with pytest.raises(AuditFailed, match=f"{name} no longer returns {gone}, and its on_schema_change"):
            _built([name], SECOND)
    plan = plan_full_refresh(["added"], "main")
    whole = build(plan.assets, plan.window, ref="main", run_id="whole", full_refresh=True)
    assert whole.merged
    assert _rows("added") == [{"day": FIRST, "amount": 1}, {"day": SECOND, "amount": 2}]
    assert _rows("ignored") == [first, second], "what failed changed nothing"


def _built(names: list[str], day: dt.date) -> BuildResult:
    return build(names, Window.of_day(day), ref="main", run_id="test")


def _rows(name: str) -> list[Row]:
    return read.scan("main", f"silver.{name}").sort_by("day").to_pylist()
