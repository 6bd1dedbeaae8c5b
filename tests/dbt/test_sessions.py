"""Nodes of a build share sessions of DuckDB, and nothing that one of them set up reaches another."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from millpond.lake import read
from millpond.runtime.home import Home
from small_projects import Write, built, load

_HOOKS = [
    "set variable told = 1",
    "create temporary table left_over as select 1 as n",
    "select 1; set variable also_told = 1",
    "use lake.raw",
    "set TimeZone = 'Asia/Tokyo'",
]
_SETS_UP = f"{{{{ config(pre_hook={_HOOKS}) }}}} select n from {{{{ source('raw', 'numbers') }}}}"
_LOOKS = """
select
    count(*) as rows_before,
    coalesce(getvariable('told'), 0) + coalesce(getvariable('also_told'), 0) as told,
    (select count(*) from duckdb_tables() where table_name = 'left_over') as left_over,
    current_schema() as schema_in_use,
    current_setting('TimeZone') as zone
from {{ ref('sets_up') }}
"""
_SOURCES = (
    "sources: [{name: raw, tables: [{name: numbers, config: {meta: {dagster: {asset_key: [numbers]}}}}]}]"
)


def test_what_a_hook_sets_up_does_not_reach_the_next_model(write_project: Write, home: Home) -> None:
    write_project(
        {
            "models/sources.yml": _SOURCES,
            "models/sets_up.sql": _SETS_UP,
            "models/looks.sql": _LOOKS,
        }
    )
    load("numbers", pa.table({"n": [1, 2]}))
    result, text = built(["sets_up", "looks"])
    assert result.merged, text
    (found,) = read.scan("main", "silver.looks").to_pylist()
    expected = {"rows_before": 2, "told": 0, "left_over": 0, "schema_in_use": "gold", "zone": "UTC"}
    assert {name: found[name] for name in expected} == expected


def test_models_and_tests_that_only_read_share_one_session(
    write_project: Write, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"numbers_{n}" for n in range(6)]
    tests = [f"{{name: {name}, columns: [{{name: n, data_tests: [not_null, unique]}}]}}" for name in names]
    write_project(
        {
            "models/sources.yml": _SOURCES,
            "models/models.yml": f"models: [{', '.join(tests)}]",
            **{f"models/{name}.sql": "select n from {{ source('raw', 'numbers') }}" for name in names},
        }
    )
    load("numbers", pa.table({"n": [1, 2]}))
    assert built(names)[0].merged
    opened: list[Any] = []
    execute = duckdb.DuckDBPyConnection.execute

    def counted(connection: duckdb.DuckDBPyConnection, sql: Any, *given: Any) -> Any:
        if str(sql).startswith("USE "):
            opened.append(connection)
        return execute(connection, sql, *given)

    monkeypatch.setattr(duckdb.DuckDBPyConnection, "execute", counted)
    load("numbers", pa.table({"n": [1, 2, 3]}))
    result, text = built(names)
    assert result.merged, text
    assert len(opened) <= 4
