from __future__ import annotations

import socket
import warnings
from pathlib import Path

import pytest

from millpond.settings import settings
from millpond.transform.invocation import OFFLINE, invoke

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for a faster build of itself
    import sqlglot


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in a macro of dbt-trino
def test_every_model_and_test_compiles_to_trino_sql_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("compiling opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    ran = invoke(
        ["compile", *OFFLINE],
        settings=settings(),
        target="scale",
        target_path=tmp_path,
    )
    assert ran.success, ran.exception
    nodes = [r.node for r in ran.result.results if r.node.resource_type != "unit_test"]
    compiled = {node.name: node.compiled_code for node in nodes}
    assert len(compiled) >= 12 + 14
    for name, sql in compiled.items():
        tree = sqlglot.parse_one(sql, read="trino")
        assert tree.sql(dialect="trino"), name
    assert "from_unixtime_nanos" in compiled["stg_climate_entries"]
    assert "array_agg" in compiled["fct_daily_climate_metrics"]
    assert "at time zone 'UTC'" in compiled["fct_climate_readings"]
    assert '"lake"."silver"."fct_climate_readings"' in compiled["fct_daily_climate_metrics"]
