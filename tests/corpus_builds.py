"""The table of what builds of small dbt projects come out as, `dbt/corpus/builds.yml`, and its comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from millpond.lake import read
from millpond.partitions import Window
from millpond.transform.results import DbtTestResult
from small_projects import Write, built, load

FEATURES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "dbt" / "corpus" / "builds.yml").read_text()
)


def build_feature(expected: dict[str, Any], write_project: Write) -> None:
    """Build the project of a feature; fails if anything comes out otherwise than the table says."""
    write_project(expected["files"])
    for name, columns in expected.get("raw", {}).items():
        load(name, pa.table(columns))
    days = expected.get("days")
    for _ in range(expected.get("times", 1)):
        result, text = built(expected["build"], days and Window.of_days(*days))
    assert result.merged is expected.get("merged", True), text
    results = {check.check: ended(check) for check in result.checks}
    assert results == expected["results"], results
    assert expected.get("message", "") in text
    failed = {model.model: model.message for model in result.failed}
    assert failed.keys() == expected.get("failed", {}).keys()
    missed = {
        name: failed[name] for name, words in expected.get("failed", {}).items() if words not in failed[name]
    }
    assert not missed, missed
    assert all(any(words in text for text in result.warnings) for words in expected.get("warned", ()))
    ref = "main" if result.merged else result.branch
    for table, rows in expected.get("tables", {}).items():
        found = read.scan(ref, table).to_pylist()
        if isinstance(rows, int):
            assert len(found) == rows, table
        else:
            assert sorted(found, key=str) == sorted(rows, key=str), found


def ended(check: DbtTestResult) -> str:
    """Return how a check ended, in dbt's words."""
    if not check.ran:
        return "not run"
    if check.passed:
        return "pass"
    return "error" if check.message else ("fail" if check.blocking else "warn")
