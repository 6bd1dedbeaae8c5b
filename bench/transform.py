"""Three models over a range of days, beside dbt as a person calls it, and one call of dbt for each day.

    python bench/transform.py [--days 30] [--rows 5000] [--daily 3] [--repeat 3] [--quick]

One dbt project with models of dbt's strategy `microbatch`, and one raw table. Millpond builds it in its lake,
with an audit on a branch; dbt-duckdb builds it in a DuckDB file, in one `dbt build` over all days, and in one
process a day (`--daily` of them are measured, and multiplied). All are commands in processes of their own.
Works in a home of its own, which is removed at the end.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pairs import OURS, ROOT, Case, Took, measure, own_home, report

START = dt.date(2026, 1, 1)
BIN = Path(sys.executable).parent
BY_HAND, A_DAY = "dbt build over all days", "one dbt build a day"
CONFIG = """{{ config(
  materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='day',
  begin='BEGIN', schema='SCHEMA'
) }}
"""
MODELS = {
    "stg_readings": ("silver", "select id, day, read_at, device, value from {{ source('raw', 'readings') }}"),
    "fct_readings": (
        "gold",
        "select *, lag(value) over (partition by device order by read_at) as before, value > 200 as is_high"
        " from {{ ref('stg_readings') }}",
    ),
    "fct_daily": (
        "gold",
        "select day, device, count(*) as readings, avg(value) as mean, count_if(is_high) as high"
        " from {{ ref('fct_readings') }} group by all",
    ),
}
TESTS = """
models:
  - {name: stg_readings, columns: [{name: id, data_tests: [not_null, unique]}]}
  - {name: fct_readings, columns: [{name: id, data_tests: [not_null, unique]}]}
  - {name: fct_daily, columns: [{name: day, data_tests: [not_null]}]}
sources:
  - {name: raw, schema: raw, tables: [{name: readings, config: {event_time: day}}]}
"""
PROJECT = """
name: bench
profile: bench
vars: {timezone: UTC}
flags: {send_anonymous_usage_stats: false}
"""
SCHEMA = "{% macro generate_schema_name(name, node) %}{{ name or 'gold' }}{% endmacro %}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=5_000, help="of a day")
    parser.add_argument("--daily", type=int, default=3, help="days of which each gets a process of dbt")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 days of 100 rows, once: to see that it works")
    asked = parser.parse_args()
    if asked.quick:
        asked.days, asked.rows, asked.daily, asked.repeat = 2, 100, 1, 1
    with own_home(START_DATE=str(START)) as home:
        os.environ["MILLPOND_PROJECT"] = str(home / "project")
        cases = [_measure(home, asked.days, asked.rows, asked.daily, asked.repeat)]
    report("transform", "Three models with tests", cases, keep=not asked.quick)


def _measure(home: Path, days: int, rows: int, daily: int, repeat: int) -> Case:
    from millpond.lake import read

    last = START + dt.timedelta(days - 1)
    data = [_make_rows(days, rows, turn) for turn in range(repeat + 1)]
    _load(data[0])
    dbt, database = _make_project(home), home / "by_hand.duckdb"

    def ours(turn: int) -> Took:
        _load(data[turn])
        return _run("millpond", "materialize", ",".join(MODELS), "--range", f"{START}...{last}")

    def by_hand(turn: int) -> Took:
        _put(database, data[turn])
        return _build(dbt, START, last)

    def a_day(turn: int) -> Took:
        _put(database, data[turn])
        measured = [_build(dbt, day, day) for day in (START + dt.timedelta(n) for n in range(daily))]
        return Took(sum(measured) * days / daily)

    taken = measure({OURS: ours, BY_HAND: by_hand, A_DAY: a_day}, repeat=repeat)
    assert read.count("main", "gold.fct_readings") == days * rows
    return Case(f"{days} days of {rows:,} rows, all changed", taken)


def _make_project(home: Path) -> Path:
    dbt, profiles = home / "project" / "dbt", home / "profiles"
    for folder in (dbt / "models", dbt / "macros", profiles, home / "project" / "sources"):
        folder.mkdir(parents=True)
    (dbt / "dbt_project.yml").write_text(PROJECT)
    (dbt / "macros" / "schema.sql").write_text(SCHEMA)
    shutil.copy(ROOT / "dagster.yaml", home / "project")
    (dbt / "models" / "models.yml").write_text(TESTS)
    for name, (schema, select) in MODELS.items():
        (dbt / "models" / f"{name}.sql").write_text(
            CONFIG.replace("BEGIN", str(START)).replace("SCHEMA", schema) + select + "\n"
        )
    (profiles / "profiles.yml").write_text(
        "bench:\n  target: hand\n  outputs:\n    hand:"
        f" {{type: duckdb, path: '{home / 'by_hand.duckdb'}', threads: 4, settings: {{TimeZone: UTC}}}}\n"
    )
    return Path(shutil.copytree(dbt, home / "by_hand"))


def _make_rows(days: int, rows: int, turn: int) -> Any:
    import duckdb

    return duckdb.sql(
        f"select n as id, day, day::timestamp + to_seconds(n % {rows} * (86400 // {rows})) as read_at,"
        f" 'device ' || n % 7 as device, ((n * 7 + {turn}) % 400)::double as value"
        f" from (select range as n, date '{START}' + (range // {rows})::int as day from range({days * rows}))"
    ).to_arrow_table()


def _load(data: Any) -> None:
    from millpond.lake.tables import Replacement, TableSpec, replace

    replace([Replacement(TableSpec("raw.readings", data.schema), data, None)], ref="main", run_id="bench")


def _put(database: Path, data: Any) -> None:
    import duckdb

    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema if not exists raw")
        connection.register("data", data)
        connection.execute("create or replace table raw.readings as from data")


def _build(dbt: Path, first: dt.date, last: dt.date) -> Took:
    span = ("--event-time-start", str(first), "--event-time-end", str(last + dt.timedelta(1)))
    where = ("--project-dir", str(dbt), "--profiles-dir", str(dbt.parent / "profiles"))
    return _run("dbt", "build", *where, *span)


def _run(program: str, *arguments: str) -> Took:
    began = time.perf_counter()
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, check=False)
    taken = Took(time.perf_counter() - began)
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return taken


if __name__ == "__main__":
    main()
