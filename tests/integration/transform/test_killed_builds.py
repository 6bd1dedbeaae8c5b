"""A build whose process is killed: what it had written is on its branch, where nobody looks."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from dbt.adapters.factory import get_adapter_by_type
from dbt_common.exceptions import DbtRuntimeError

import raw_rows
from millpond.lake import read, refs
from millpond.lake.spec import TableSpec
from millpond.partitions import Window
from millpond.transform.build import make_table_spec
from millpond.transform.runner import build
from processes import exit_code
from raw_rows import Build

DAY = dt.date(2026, 3, 4)
WINDOW = Window.of_day(DAY)
NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
MODELS = ["stg_climate_entries", "fct_climate_readings"]


def build_to_be_killed() -> None:
    build(MODELS, WINDOW, ref="main", run_id="killed")


def test_a_killed_build_leaves_the_ref_as_it_was_and_the_next_one_is_complete(
    build_all: Build, state: Callable[..., dict[str, list[str]]]
) -> None:
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    build_all(WINDOW, *MODELS)
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 110)])
    before = state()
    assert exit_code(build_to_be_killed, crash_at=["lake.swapped"]) == -signal.SIGKILL
    assert state() == before
    (left,) = refs.list_refs()[1:]
    assert read.scan(left.name, "bronze.stg_climate_entries")["lux"].to_pylist() == [110]

    assert build_all(WINDOW, *MODELS).merged
    for table in ("bronze.stg_climate_entries", "silver.fct_climate_readings"):
        assert read.scan("main", table)["lux"].to_pylist() == [110]
    assert left.state == "audit", "which housekeeping drops after a day"


def test_threads_of_an_interrupted_build_work_on_nothing_and_its_branch_is_gone(
    build_all: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    build_all(WINDOW, *MODELS)

    def interrupt(model: dict[str, Any], schema: pa.Schema, **options: Any) -> TableSpec:
        signal.raise_signal(signal.SIGINT)  # from a thread of dbt; the main thread is interrupted
        return make_table_spec(model, schema, **options)

    with monkeypatch.context() as patched:
        patched.setattr("millpond.transform.plugin.make_table_spec", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(MODELS, WINDOW, ref="main", run_id="interrupted")
    adapter = get_adapter_by_type("duckdb")
    late = threading.Thread(target=lambda: refused.append(try_to_query(adapter)))
    refused: list[str] = []
    late.start()
    late.join()
    assert "interrupted" in refused[0]
    assert [ref.name for ref in refs.list_refs()] == ["main"]
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 120)])
    assert build_all(WINDOW, *MODELS).merged


def try_to_query(adapter: Any) -> str:
    with adapter.connection_named("late"):
        try:
            return str(adapter.execute("select 1"))
        except DbtRuntimeError as error:
            return str(error)
