"""Every model, its data tests and its unit tests, on both engines from the same raw rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
import raw_days
from dbt.contracts.graph.manifest import Manifest
from engines import Lake, dbt

from millpond.lake import read
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.batches import one_batch
from millpond.transform.manifest import manifest
from millpond.transform.models import models
from millpond.transform.results import AuditFailed, BuildResult
from millpond.transform.runner import build

RAW = ("raw.glucose_entries", "raw.github_user_events")
LINEAGE = {"_loaded_at"}


@dataclass(frozen=True)
class Built:
    """What both engines made of the same raw rows; DuckDB's tables lie on `ref`."""

    window: Window
    ref: str
    audit: BuildResult
    tables: dict[str, str]
    """Names of the models' tables by the name of the model."""
    trino: Manifest


@pytest.fixture
def berlin(configure: Any) -> Settings:
    return configure(timezone="Europe/Berlin")


@pytest.fixture
def built(berlin: Settings, home: Home, lake: Lake, manifests: dict[str, Manifest]) -> Built:
    """All models, over all days, on both engines."""
    window = raw_days.fill()
    every = models(manifest(settings()))
    audited = on_duckdb(list(every), window)
    for name in RAW:
        lake.put(name, read.scan("main", name))
    on_trino(lake, manifests["trino"], "run", window)
    tables = {name: model.table for name, model in every.items()}
    return Built(window, audited.branch, audited, tables, manifests["trino"])


def test_every_model_is_the_same_on_both_engines(built: Built, lake: Lake) -> None:
    for name, table in built.tables.items():
        assert unlike(read.scan(built.ref, table), lake.rows(table)) == {}, name

    # The same data tests fail, for as many rows.
    tests = dbt("trino", ["test", "--select", "test_type:data"], built.trino, **lake.variables).results
    there = {r.node.name: r.failures for r in tests}
    here = {check.check: check.failures for check in built.audit.checks}
    assert there == here
    assert sum(1 for failures in here.values() if failures) >= 5

    unit = dbt("trino", ["test", "--select", "test_type:unit"], built.trino, **lake.variables).results
    assert len(unit) >= 24
    assert {r.node.name: r.message for r in unit if r.status != "pass"} == {}


def on_duckdb(names: list[str], window: Window) -> BuildResult:
    """Build on the embedded engine; the audit fails, as it should for such rows, and keeps the branch."""
    with pytest.raises(AuditFailed) as failed:
        build(names, window, ref="main", run_id="parity")
    assert not failed.value.result.failed
    return failed.value.result


def on_trino(lake: Lake, trino: Manifest, command: str, window: Window, *select: str) -> None:
    """Run dbt on Trino over a window, all its days in one batch."""
    span = [f"--event-time-start={window.start}", f"--event-time-end={window.end}"]
    chosen = ["--select", *select] if select else []
    with one_batch({}):
        results = dbt("trino", [command, *span, *chosen], trino, **lake.variables).results
    assert {r.node.name: r.message for r in results if r.status != "success"} == {}


def unlike(one: pa.Table, other: pa.Table) -> dict[str, object]:
    """Return how two tables differ: in their columns and types, or in rows that only one of them has."""
    kinds = [{f.name: _kind(f.type) for f in table.schema} for table in (one, other)]
    if list(kinds[0].items()) != list(kinds[1].items()):
        return {
            "columns": [sorted(set(a.items()) - set(b.items())) for a, b in (kinds, kinds[::-1])],
            "order": kinds,
        }
    rows = [sorted(map(repr, table.drop_columns(_lineage(table)).to_pylist())) for table in (one, other)]
    if rows[0] == rows[1]:
        return {}
    only = [sorted(set(a) - set(b))[:3] for a, b in (rows, rows[::-1])]
    return {"rows": [len(r) for r in rows], "only on DuckDB": only[0], "only on Trino": only[1]}


def _kind(kind: pa.DataType) -> str:
    return str(kind).removeprefix("large_")


def _lineage(table: pa.Table) -> list[str]:
    return [name for name in table.schema.names if name in LINEAGE]
