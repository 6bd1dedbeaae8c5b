"""From dbt's run results to ours: messages without noise, and sample rows of failed data tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from millpond.lake import duck
from millpond.transform.building import Stored
from millpond.transform.results import CheckResult, ModelBuilt, ModelFailed

SAMPLES = 20
_NOISE = re.compile(r"^(Runtime Error|Compilation Error|Database Error) in (model|test) .*\n\s*", re.MULTILINE)


def models_built(results: Iterable[Any], stored: Mapping[str, Stored]) -> tuple[ModelBuilt, ...]:
    """Return the models that were written, in the order in which they were."""
    seconds = {r.node.name: r.execution_time for r in results if r.node.resource_type == "model"}
    return tuple(ModelBuilt(name, s.written, seconds.get(name, s.seconds)) for name, s in stored.items())


def models_failed(results: Iterable[Any]) -> tuple[ModelFailed, ...]:
    """Return the models that could not be built."""
    return tuple(
        ModelFailed(r.node.name, message(r.message or ""))
        for r in results
        if r.node.resource_type == "model" and r.status in ("error", "partial success")
    )


def skipped(results: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of models and tests that were left out because something before them failed."""
    return tuple(r.node.name for r in results if r.status == "skipped")


def checks(results: Iterable[Any], branch: str) -> tuple[CheckResult, ...]:
    """Return the data tests that ran, those that failed with sample rows read from `branch`."""
    ran = [r for r in results if r.node.resource_type == "test" and r.status != "skipped"]
    broken = {r.node.unique_id: r.node.compiled_code for r in ran if r.status in ("fail", "warn")}
    samples = _samples(broken, branch) if broken else {}
    return tuple(_check(r, samples.get(r.node.unique_id, ())) for r in ran)


def message(text: str) -> str:
    """Return a message of dbt without its headings."""
    return _NOISE.sub("", text).strip()


def _check(result: Any, samples: tuple[Mapping[str, Any], ...]) -> CheckResult:
    node = result.node
    return CheckResult(
        model=node.attached_node.rpartition(".")[2] if node.attached_node else "",
        check=node.name,
        description=" ".join((node.description or "").split()),
        blocking=node.config.severity.lower() == "error",
        passed=result.status == "pass",
        failures=result.failures or 0,
        seconds=result.execution_time,
        message=message(result.message or "") if result.status == "error" else "",
        samples=samples,
    )


def _samples(queries: Mapping[str, str], branch: str) -> dict[str, tuple[Mapping[str, Any], ...]]:
    with duck.connect(branch, pin=False) as connection:
        found = {}
        for test, query in queries.items():
            rows = connection.sql(f"select * from ({query}) limit {SAMPLES}")  # noqa: S608
            names = rows.columns
            found[test] = tuple(dict(zip(names, row, strict=True)) for row in rows.fetchall())
        return found
