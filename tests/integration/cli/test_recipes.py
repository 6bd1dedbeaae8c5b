"""Each recipe of `millpond env --recipes` connects the program that it is for."""

from __future__ import annotations

import gc
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy

import millpond
from millpond.cli.connections import build_recipes as recipes_of
from millpond.errors import RefNotFound
from millpond.lake import refs
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.runtime.cluster import find_binaries
from millpond.runtime.databases import databases
from millpond.runtime.down import down
from millpond.runtime.extensions import open_duckdb
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.settings import settings

Run = Callable[..., tuple[int, str, str]]
READINGS = pa.table({"entry_id": ["a", "b"]})


@pytest.fixture
def recipes(home: Home, run: Run) -> dict[str, str]:
    spec = TableSpec("silver.fct_climate_readings", READINGS.schema)
    replace([Replacement(spec, READINGS, None)], ref="main", run_id="test")
    with databases().marts.connect(autocommit=True) as connection:
        connection.execute("create table mrt_climate_overview as select 7 as reading_count")
    code, out, err = run("env", "--recipes", "--json")
    assert code == 0, err
    found: dict[str, str] = json.loads(out)
    _, text, _ = run("env", "--recipes")
    assert all(f"# {program}\n{lines}" in text for program, lines in found.items())
    return found


def test_each_recipe_connects_its_program_and_none_can_write(recipes: dict[str, str]) -> None:
    psql = subprocess.run(
        [find_binaries() / "psql", *shlex.split(recipes["psql"])[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mrt_climate_overview" in psql.stdout

    fields = dict(line.split(": ", 1) for line in recipes["DBeaver"].splitlines())
    given = {name: fields[name.capitalize()] for name in ("host", "port", "password")}
    with psycopg.connect(dbname=fields["Database"], user=fields["Username"], **given) as connection:
        table = f"{fields['Schema']}.mrt_climate_overview"
        assert connection.execute(f"select reading_count from {table}").fetchall() == [(7,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(f"delete from {table}")

    engine = sqlalchemy.create_engine(recipes["Superset, SQLAlchemy"])
    with engine.connect() as alchemy:
        assert alchemy.scalar(sqlalchemy.text("select reading_count from mrt_climate_overview")) == 7
    engine.dispose()

    install, rest = recipes["DuckDB"].split("\n", 1)
    assert install == "INSTALL iceberg; LOAD iceberg;", "the test has it from a package"
    with open_duckdb() as duck:
        assert duck.execute(rest).fetchall() == [(2,)]
    assert _executed(recipes["PyIceberg"])["rows"].num_rows == 2

    found = _executed(recipes["Python, on this machine"])
    assert found["rows"].num_rows == 2
    assert found["connection"].sql("from marts.mrt_climate_overview").fetchall() == [(7,)]
    with pytest.raises(Exception, match="is not an table"):
        found["connection"].execute("insert into silver.fct_climate_readings values ('c')")
    found["connection"].close()


def test_a_recipe_reads_a_table_that_is_there() -> None:
    found = {
        name: name for name in ("marts_schema", "ref", "catalog_uri", "catalog_token", "catalog_warehouse")
    }
    found["marts_readonly_dsn"] = "postgresql://reader:x@127.0.0.1:1/marts"
    for tables, read in (
        ([], "silver.my_table"),
        (["quarantine.a", "raw.a"], "quarantine.a"),
        (["gold.b", "raw.a"], "gold.b"),
        (["gold.b", "silver.c"], "silver.c"),
    ):
        shown = recipes_of(found, tables)
        assert all(read in shown[program] for program in ("DuckDB", "PyIceberg", "Python, on this machine"))


def test_a_notebook_sees_the_ref_it_asks_for(recipes: dict[str, str]) -> None:
    refs.create("trial", base="main")
    more = pa.table({"entry_id": ["a", "b", "c"]})
    spec = TableSpec("silver.fct_climate_readings", more.schema)
    replace([Replacement(spec, more, None)], ref="trial", run_id="test")
    for ref, rows in (("trial", 3), ("main", 2), (None, 2)):
        with millpond.connect(ref) as connection:
            assert connection.sql("select count(*) from silver.fct_climate_readings").fetchone() == (rows,)
    with pytest.raises(RefNotFound, match="nope"):
        millpond.connect("nope")


def test_a_notebook_that_ends_after_down_starts_nothing(recipes: dict[str, str], home: Home) -> None:
    connection = millpond.connect()
    down(settings())
    connection.close()
    del connection
    gc.collect()
    assert find_server(home) is None


def test_a_shell_completes_commands_and_options() -> None:
    for typed, at, expected in (("millpond mat", 1, "materialize"), ("millpond env --rec", 2, "--recipes")):
        words = {"_MILLPOND_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(at)}
        done = subprocess.run(
            [Path(sys.executable).parent / "millpond"],
            env=os.environ | words,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == [expected]


def _executed(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names
