"""Every macro and every construct that the models use, computed by both engines from the same values."""

from __future__ import annotations

from pathlib import Path

import duckdb
import inputs
import pyarrow as pa
import pytest
import trino.exceptions
import yaml
from comparing import both, differences, query
from dbt.contracts.graph.manifest import Manifest
from engines import Lake, Result, on_duckdb

_HERE = Path(__file__).parent
EXPRESSIONS: dict[str, dict[str, str]] = yaml.safe_load((_HERE / "expressions.yml").read_text())
GAPS: dict[str, dict[str, dict[str, str]]] = yaml.safe_load((_HERE / "gaps.yml").read_text())
ZONES = ["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"]
Tables = dict[str, pa.Table]
Manifests = dict[str, Manifest]


@pytest.fixture(scope="session")
def tables(lake: Lake) -> Tables:
    """The inputs, by name, in the lake as well."""
    made = inputs.tables()
    for name, rows in made.items():
        lake.put(f"edges.{name}", rows)
    return made


@pytest.mark.parametrize("kind", list(EXPRESSIONS))
def test_the_engines_agree_on_every_expression(
    kind: str, lake: Lake, tables: Tables, manifests: Manifests
) -> None:
    table = f"edges.{kind}"
    results = both(query(table, EXPRESSIONS[kind]), table, tables[kind], lake, manifests)
    assert differences(results) == {}


@pytest.mark.parametrize("zone", ZONES)
def test_the_engines_agree_on_what_clocks_show(
    zone: str, lake: Lake, tables: Tables, manifests: Manifests
) -> None:
    local = {name: sql for name, sql in EXPRESSIONS["instants"].items() if name.startswith("local")}
    template = query("edges.instants", local)
    results = both(template, "edges.instants", tables["instants"], lake, manifests, timezone=zone)
    assert differences(results) == {}


def test_the_engines_agree_on_a_group_without_rows(lake: Lake, tables: Tables, manifests: Manifests) -> None:
    template = query("edges.samples", EXPRESSIONS["samples"], condition="g < 0")
    results = both(template, "edges.samples", tables["samples"], lake, manifests)
    assert [len(result.rows) for result in results.values()] == [1, 1]
    assert differences(results) == {}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, gaps in GAPS.items() for name in gaps])
def test_a_declared_gap_is_still_there(kind: str, name: str, lake: Lake, tables: Tables) -> None:
    gap = GAPS[kind][name]
    sql = query(f"edges.{kind}", {name: gap["sql"]})
    assert gap["why"]
    results: dict[str, Result] = {}
    try:
        results["trino"] = lake.query(sql)
        results["duckdb"] = on_duckdb(sql, f"edges.{kind}", tables[kind])
    except (trino.exceptions.TrinoUserError, duckdb.Error):
        return  # one of them does not know it, or takes other types
    assert differences(results) != {}
