"""An agent's query reads named tables without their sensitive columns, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb
import pytest
from sensitive_lake import SECRET

from alerting import alert, end, put
from millpond.errors import QueryRefused, RefNotFound, RefRefused
from millpond.mcp import answers, commands
from millpond.mcp.query import Tables, find_tables, open_tables, run_query
from millpond.runtime.home import Home

LONG = "select count(*) from range(100000000000) a(i) where i % 7 = 3"


@pytest.fixture(scope="module")
def tables(lake: Home) -> Iterator[Tables]:
    with open_tables("main") as found:
        yield found


@pytest.mark.parametrize(
    ("sql", "columns", "hidden"),
    [
        ("select * from raw.climate_entries", ["_id", "lux"], {"raw.climate_entries": ("device",)}),
        ("select c from raw.climate_entries c", ["c"], {"raw.climate_entries": ("device",)}),
        (
            "with a as (from lake.quarantine.climate_entries) select a.* from a, range(1)",
            ["_partition_date", "_loaded_at"],
            {"quarantine.climate_entries": ("reason", "row_key", "payload")},
        ),
        (
            "select * from marts.mrt_climate_overview",
            ["reading_count"],
            {"marts.mrt_climate_overview": ("avg_lux",)},
        ),
        ("select * from gold.dim_date", ["date_day"], {}),
    ],
)
def test_sensitive_columns_are_in_no_result_however_they_are_asked_for(
    lake: Home, sql: str, columns: list[str], hidden: dict[str, tuple[str, ...]]
) -> None:
    found = run_query(sql, "main", 10, 30)
    assert (found["columns"], found["hidden_columns"], len(found["rows"])) == (columns, hidden, 1)
    assert not {SECRET, "4242"} & set(json.dumps(found).replace('"', " ").split())
    assert SECRET not in json.dumps(found)


def test_a_sensitive_column_is_as_one_that_is_not_there(tables: Tables) -> None:
    with pytest.raises(duckdb.BinderException, match='column "device" not found'):
        tables.connection.execute("select device from raw.climate_entries")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ('select * from lake.raw."climate_entries whole"', "there is no table"),
        ("select * from published.marts.mrt_climate_overview", "there is no table"),
        ("select * from climate_entries", "there is no table"),
        ("select * from information_schema.tables", "there is no table"),
        ("from 'x.csv'", "there is no table x.csv"),
        ("""with "x.csv" as (select 1) from 'x.csv'""", "there is no table x.csv"),
        ("select * from read_text('/etc/hostname')", "read_text is not available"),
        ("select * from iceberg_scan('x')", "iceberg_scan is not available"),
        ("select * from postgres_query('published', 'select 1')", "postgres_query is not available"),
        ("select * from query('select 1')", "query is not available"),
        ("select * from duckdb_secrets()", "duckdb_secrets is not available"),
        ("select current_setting('secret_directory')", "current_setting is not available"),
        ("summarize raw.climate_entries", "only tables, subqueries and joins"),
        ("drop view raw.climate_entries", "only a SELECT is run"),
        ("copy (select 1) to 'x.csv'", "only a SELECT is run"),
        ("attach 'x.db' as x", "only a SELECT is run"),
        ("set lock_configuration = false", "only a SELECT is run"),
        ("select 1; select 2", "only one statement is run"),
        ("selct", "syntax error"),
    ],
)
def test_what_is_more_than_reading_tables_is_refused(tables: Tables, sql: str, reason: str) -> None:
    with pytest.raises(QueryRefused, match="(?i)" + reason) as refused:
        find_tables(tables.connection, sql, tables.names)
    assert refused.value.next_step


def test_results_are_limited_in_rows_and_time(lake: Home) -> None:
    with pytest.raises(QueryRefused, match="took more than 1 s"):
        run_query(LONG, "main", 10, 1)
    found = run_query("select * from range(5000)", "main", 5000, 30)
    assert (len(found["rows"]), found["more"]) == (1000, True)
    with pytest.raises(RefNotFound):
        run_query("select 1", "nobody", 1, 30)


def test_tables_are_described_without_what_is_hidden(lake: Home) -> None:
    found = answers.describe_table("raw.climate_entries", "main")
    assert [each["name"] for each in found["columns"]] == ["_id", "lux"]
    assert found["columns"][1] == {"name": "lux", "type": "BIGINT", "description": "Light in lux."}
    assert found["hidden_columns"] == ["device"]
    with pytest.raises(QueryRefused, match=r"there is no table raw.unknown on main"):
        answers.describe_table("raw.unknown", "main")


def test_an_agent_does_not_write_to_main(lake: Home) -> None:
    with pytest.raises(RefRefused, match="agents do not write to main"):
        commands.materialize("dim_date", "2026-11-01", "main")


def test_texts_of_alerts_about_assets_with_sensitive_columns_are_hidden(lake: Home) -> None:
    put(
        alert(1, assets=("dlt_climate_entries",), reason=f"no integer: {SECRET}"),
        alert(2, assets=("dim_date",), reason="no space left"),
    )
    shown, hidden = answers.list_alerts()
    assert shown["reason"] == "no space left"
    assert hidden["reason"] == "(hidden, as dlt_climate_entries has sensitive columns; see the run)"
    assert SECRET not in json.dumps([shown, hidden, answers.tell_health()])
    end()
