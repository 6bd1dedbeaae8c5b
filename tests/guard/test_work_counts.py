"""What a backfill, a day, a publish and a query do is counted: nothing grows unnoticed, nor with more days.

`counts.json` holds what was counted, and by which share a kind of it may grow unnoticed: threads share
connections, versions of packages write less, DuckDB opens a file once for each thread that reads it. After a
change that is meant, write the counts anew, and say why in the commit:

    .venv/bin/pytest -n 0 -m slow tests/guard/test_work_counts.py --snapshot-update
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pytest
from counting import count, log_duckdb

from fake_source import every_day, fake_source
from millpond.instance import event_buffer
from millpond.instance.home import open_instance
from millpond.lake.catalog import LakeCatalog
from millpond.lake.files import list_files
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from project_folders import sources_at

Run = Callable[..., tuple[int, str, str]]
TODAY: Final = dt.date(2026, 11, 20)
COUNTS: Final = Path(__file__).with_name("counts.json")
ACCEPT: Final = ".venv/bin/pytest -n 0 -m slow tests/guard/test_work_counts.py --snapshot-update"
CHAIN: Final = "dlt_climate_entries*"
_WHOLE: Final = "bytes copied to Postgres"
"""Grows with the days there, since a mart is copied whole."""


KNOWN: Final = json.loads(COUNTS.read_text())


def is_more(name: str, found: int, known: int) -> bool:
    """Return whether a count is more than is known, beyond what varies by itself: a share, and then 3."""
    share = next((share for start, share in KNOWN["tolerances"].items() if name.startswith(start)), None)
    return found > known if share is None else found > known * (1 + share) + 3


def list_growth(found: Mapping[str, Mapping[str, int]], known: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [
        f"{step}: {name} was {known.get(step, {}).get(name, 0)}, is {number}"
        for step, counts in found.items()
        for name, number in sorted(counts.items())
        if is_more(name, number, known.get(step, {}).get(name, 0))
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_no_step_does_more_than_before_nor_more_with_more_days(
    home: Home, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    log_duckdb(monkeypatch, tmp_path)
    monkeypatch.setattr(event_buffer, "LONGEST_WAIT", 600.0)  # else a slow machine stores events more often
    with fake_source() as source:
        source.serve = every_day
        with sources_at(source.url):

            def counted(*arguments: str) -> Counter[str]:
                with count(home, source, tmp_path) as counts:
                    code, _, error = run(*arguments, "--json")
                assert code == 0, error
                return counts

            run("materialize", CHAIN, "--partition", "2026-11-01")  # what a process does once
            found = {
                "backfill of 3 days": counted("materialize", CHAIN, "--range", "2026-11-02...2026-11-04")
            }
            found["one day again"] = counted("materialize", CHAIN, "--partition", "2026-11-03")
            found["publish"] = counted("materialize", "marts/mrt_climate_overview")
            found["query"] = counted("sql", "select count(*) from gold.mrt_climate_overview")
            found["a new day"] = counted("materialize", CHAIN, "--partition", "2026-11-05")
            run("materialize", CHAIN, "--range", "2026-11-06...2026-11-17")
            later = {
                "one day again": counted("materialize", CHAIN, "--partition", "2026-11-03"),
                "query": counted("sql", "select count(*) from gold.mrt_climate_overview"),
                "a new day": counted("materialize", CHAIN, "--partition", "2026-11-18"),
            }
    if request.config.getoption("update_snapshots"):
        COUNTS.write_text(json.dumps({**KNOWN, "counts": found}, indent=2, sort_keys=True) + "\n")
        KNOWN["counts"] = found
    grown = list_growth(found, KNOWN["counts"])
    assert not grown, "\n".join([*grown, f"If this is meant: {ACCEPT}"])
    for counts in later.values():
        del counts[_WHOLE]
    sized = list_growth(later, found)
    assert not sized, "\n".join(["with 17 days there, more than with 4:", *sized])


@pytest.mark.slow
def test_each_kind_of_count_grows_when_more_of_it_is_done(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, log = tmp_path / "modules", tmp_path / "log"
    for folder in (modules, log):
        folder.mkdir()
    (modules / "counted_once.py").touch()
    monkeypatch.syspath_prepend(modules)
    log_duckdb(monkeypatch, log)
    rows = pa.table({"n": [1]})
    with fake_source() as source, count(home, source, log) as counts:
        importlib.import_module("counted_once")
        subprocess.run([sys.executable, "-c", ""], check=True)
        urllib.request.urlopen(source.url).close()
        LakeCatalog("main").create_table("raw.counted", rows.schema).append(rows)
        (file,) = home.warehouse.rglob("*.parquet")
        io = LakeCatalog("main").file_io()
        list(list_files(io, str(home.warehouse)))
        duckdb.connect().execute(f"SELECT * FROM '{file}'").fetchall()
        for _ in range(4):
            io.new_input(str(file)).open().close()
            duckdb.connect().execute(f"SELECT * FROM '{file}'").fetchall()
            for database in (databases().ops, databases().marts):
                with database.connect() as connection:
                    connection.execute("SELECT 1")
            with open_instance() as recorded:
                recorded.get_runs_count()
        with databases().ops.connect() as connection:
            connection.execute("CREATE TEMPORARY TABLE counted (n text)")
            with connection.cursor().copy("COPY counted FROM STDIN") as copy:
                copy.write("1234\n")
    kinds = {name for each in KNOWN["counts"].values() for name in each}
    grown = list_growth({"a step": counts}, {})
    assert {line.split(": ", 1)[1].split(" was 0")[0] for line in grown} >= kinds


@pytest.mark.parametrize(
    ("name", "found", "known", "more"),
    [
        ("lake commits", 5, 4, True),
        ("lake commits", 4, 4, False),
        ("lake commits", 3, 4, False),
        ("processes started", 1, 0, True),
        ("statements: ops", 101, 100, True),
        ("statements: dagster", 108, 100, False),
        ("statements: dagster", 109, 100, True),
    ],
)
def test_a_count_that_grew_is_told_from_one_that_varies(
    name: str, found: int, known: int, more: bool
) -> None:
    said = list_growth({"a step": Counter({name: found})}, {"a step": {name: known}})
    assert said == ([f"a step: {name} was {known}, is {found}"] if more else [])
