"""Every model, its data tests and its unit tests, on both engines from the same raw rows.

First days as a source delivers them; then, over these, days that break the data tests, which only warn then,
so that every model is built.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import raw_days
from installation import installed
from servers.stack import Stack

from millpond.lake import read, trino
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.build import Build, use_build
from millpond.transform.invocation import LOCK, invoke
from millpond.transform.manifest import load_project
from millpond.transform.results import BuildResult
from millpond.transform.runner import build

RAW = ("raw.glucose_entries", "raw.github_user_events", "raw.diary_entries", "raw.meter_readings")
WHEN_BUILT = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
"""Columns of snapshots that say when a build ran: UTC, which only Trino's type says too."""
Tables = dict[str, pa.Table]


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in a macro of dbt-trino
def test_every_model_and_test_comes_out_alike(
    home: Home, servers: Stack, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    strict, tolerant = settings().project, tolerant_project(tmp_path / "tolerant")
    configure(timezone="Europe/Berlin")
    real = raw_days.load_real()
    raw = tables(RAW, "main")
    merged_here = built(real)
    first_here = tables(model_tables(), "main")
    every_day = raw_days.load_made_up(real)
    more_raw = tables(RAW, "main")
    configure(project=tolerant)
    audited_here = built(every_day)
    second_here = tables(model_tables(), "main")

    configure(project=strict)
    with installed(servers, tmp_path / "home"):
        write(raw, real)
        merged_there = built(real)
        first_there = tables(model_tables(), "main")
        write(more_raw, every_day)
        configure(project=tolerant)
        audited_there = built(every_day)
        second_there = tables(model_tables(), "main")
        unit_tests = unit_tests_on("main")

    assert all(result.merged for result in (merged_here, merged_there, audited_here, audited_there))
    assert verdicts(merged_here) == verdicts(merged_there)
    assert verdicts(audited_here) == verdicts(audited_there)
    assert sum(failures > 0 for _, _, failures in verdicts(audited_here)) >= 5
    assert unlike(first_here, first_there) == {}
    assert unlike(second_here, second_there) == {}
    assert len(unit_tests) >= 31
    assert {name: message for name, (status, message) in unit_tests.items() if status != "pass"} == {}


def tolerant_project(folder: Path) -> Path:
    """Return a copy of the project in which no data test blocks."""
    original = settings().project
    shutil.copytree(original / "dbt", folder / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    (folder / "sources").symlink_to(original / "sources")
    with (folder / "dbt" / "dbt_project.yml").open("a") as file:
        file.write("\ndata_tests: {lakehouse: {+severity: warn}}\n")
    return folder


def built(window: Window) -> BuildResult:
    """Build every model."""
    return build(list(load_project(settings()).models()), window, ref="main", run_id="parity")


def model_tables() -> list[str]:
    return [model.table for model in load_project(settings()).models().values()]


def tables(names: Any, ref: str) -> Tables:
    return {name: read.scan(ref, name) for name in names}


def write(raw: Tables, window: Window) -> None:
    """Make the raw tables of `main` hold these rows, as ingestion would write them."""
    specs = {name: TableSpec(name, rows.schema, "_partition_date", (), "month") for name, rows in raw.items()}
    replace(
        [Replacement(specs[name], rows, window) for name, rows in raw.items()], ref="main", run_id="parity"
    )


def unit_tests_on(ref: str) -> dict[str, tuple[str, str | None]]:
    """Run the unit tests of the models where the tables of `ref` give their columns; returns the outcomes."""
    trino.open_catalog(ref)
    with LOCK, use_build(Build(ref, "parity", lambda _: None)):
        ran = invoke(
            ["test", "--select", "test_type:unit", "--no-write-json"],
            settings=settings(),
            target=settings().profile,
            manifest=load_project(settings()).load_manifest(),
        )
    assert ran.result, ran.exception
    return {r.node.name: (str(r.status), r.message) for r in ran.result.results}


def verdicts(result: BuildResult) -> list[tuple[str, bool, int]]:
    return sorted((check.check, check.passed, check.failures) for check in result.checks)


def unlike(here: Tables, there: Tables) -> dict[str, object]:
    """Return how tables differ, by name: in their columns and types, or in rows that one of them lacks."""
    found: dict[str, object] = {}
    for name, one in here.items():
        other = there[name]
        kinds = [
            [(f.name, f.name in WHEN_BUILT or str(f.type).removeprefix("large_")) for f in t.schema]
            for t in (one, other)
        ]
        if kinds[0] != kinds[1]:
            found[f"columns of {name}"] = [sorted(set(a) - set(b)) or a for a, b in (kinds, kinds[::-1])]
            continue
        shared = [n for n in one.column_names if n not in WHEN_BUILT]
        rows = [sorted(map(repr, table.select(shared).to_pylist())) for table in (one, other)]
        if rows[0] != rows[1]:
            only = [sorted(set(a) - set(b))[:2] for a, b in (rows, rows[::-1])]
            found[name] = {"rows": [len(r) for r in rows], "on DuckDB": only[0], "on Trino": only[1]}
    return found
