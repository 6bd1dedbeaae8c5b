"""`--full-refresh` replaces daily tables whole, on an audit branch, as dbt documents it."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from millpond.cli.main import app
from millpond.errors import BuildFailed, ConfigError
from millpond.lake import read, refs
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.transform.plan import plan_full_refresh
from millpond.transform.results import AuditFailed
from millpond.transform.runner import build
from small_projects import Write

FIRST, SECOND, THIRD = (dt.date(2026, 1, n) for n in (1, 2, 4))
ALL = Window.of_days(FIRST, THIRD)
SOURCES = (
    "sources: [{name: raw, schema: raw, tables: [{name: orders, config: {event_time: day},"
    " columns: [{name: day, data_type: date}]}]}]"
)
CONFIG = (
    "{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day',"
    " on_schema_change='append_new_columns',"
    " batch_size='day', begin='2024-01-01'{more}) }}}} "
)
ORDERS = CONFIG.format(more="") + "select day, COLUMNS from {{ source('raw', 'orders') }}"
KEPT = CONFIG.format(more=", full_refresh=false") + "select day, amount from {{ ref('orders') }}"


def write(write_project: Write, columns: str, **more: str) -> None:
    files = {"models/sources.yml": SOURCES, "models/orders.sql": ORDERS.replace("COLUMNS", columns)}
    write_project({**files, "models/kept.sql": KEPT, **more})


def load() -> None:
    rows = pa.table({"day": [FIRST, SECOND, THIRD], "amount": [1, 2, 3]})
    replace([Replacement(TableSpec("raw.orders", rows.schema, "day"), rows, None)], ref="main", run_id="test")


def test_a_full_refresh_replaces_daily_tables_whole_in_one_merge(write_project: Write, home: Home) -> None:
    write(write_project, "amount, 'x' as former")
    load()
    assert build(["orders", "kept"], ALL, ref="main", run_id="first").merged
    before = read.load_table("main", "silver.kept").metadata_location

    write(write_project, "'amount ' || amount as amount")
    with pytest.raises(AuditFailed, match="amount is int"):
        build(["orders"], Window.of_day(SECOND), ref="main", run_id="day")
    with pytest.raises(BuildFailed, match="there are rows for 2026-01-01"):
        build(["orders"], Window.of_day(SECOND), ref="main", run_id="day", full_refresh=True)
    plan = plan_full_refresh(["orders", "kept"], "main")
    assert (plan.assets, plan.kept, plan.window) == (["orders"], ["kept"], ALL)
    result = build(plan.assets, plan.window, ref="main", run_id="whole", full_refresh=True)
    assert result.merged
    rows = read.scan("main", "silver.orders").sort_by("day").to_pylist()
    assert rows == [
        {"day": day, "amount": f"amount {n}"} for n, day in enumerate((FIRST, SECOND, THIRD), start=1)
    ]
    (orders,) = result.models
    assert [str(day) for day in orders.written.day_hashes] == [str(day) for day in ALL.days]
    assert read.load_table("main", "silver.kept").metadata_location == before
    snapshots = read.load_table("main", "silver.orders").metadata.snapshots
    assert [s.summary.additional_properties["millpond.window"] for s in snapshots if s.summary][-1] == "all"
    assert (
        build(["orders"], Window.of_day(SECOND), ref="main", run_id="day").models[0].written.changed is False
    )

    with pytest.raises(AuditFailed, match=r"silver\.kept\.amount is int64 in the table"):
        build(["kept"], ALL, ref="main", run_id="kept", full_refresh=True)
    with pytest.raises(ConfigError, match="full_refresh: false"):
        plan_full_refresh(["kept"], "main")


def test_a_full_refresh_that_fails_its_audit_changes_nothing(write_project: Write, home: Home) -> None:
    tests = "models: [{name: orders, columns: [{name: amount, data_tests: [not_null]}]}]"
    write(write_project, "amount")
    load()
    assert build(["orders"], ALL, ref="main", run_id="first").merged
    before = read.load_table("main", "silver.orders").metadata_location
    write(write_project, "nullif(amount, 3) as amount", **{"models/tests.yml": tests})
    with pytest.raises(AuditFailed, match="not_null_orders_amount"):
        build(["orders"], ALL, ref="main", run_id="whole", full_refresh=True)
    assert read.load_table("main", "silver.orders").metadata_location == before
    assert len(refs.list_refs()) == 2


def test_the_command_refuses_what_is_no_model_and_days(home: Home) -> None:
    for arguments, message in (
        (["dlt_climate_entries", "--full-refresh"], "only models of dbt"),
        (["stg_climate_entries", "--full-refresh", "-p", "2026-01-01"], "covers all days"),
    ):
        result = CliRunner().invoke(app, ["materialize", *arguments])
        assert result.exit_code != 0
        assert message in result.output + str(result.exception)
