"""The audit of a branch: the project's data tests, run as dbt would, all over one connection.

dbt spends 30 ms and more on each test before its query starts. What a test asks does not depend on the run,
so its SQL is compiled once, when the project is parsed, and only the queries remain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import duckdb

from millpond.lake import duck
from millpond.transform.results import CheckResult

SAMPLES = 20
_PARALLEL = 3


@dataclass(frozen=True)
class DataTest:
    """A data test as dbt compiled it; `sql` returns the rows that break it."""

    name: str
    model: str
    reads: tuple[str, ...]
    """Names of the models it reads."""
    description: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    sql: str


def data_tests(results: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the data tests among dbt's results of `compile`, as plain dictionaries."""
    return [asdict(_data_test(r.node)) for r in results if r.node.resource_type == "test"]


def due(tests: Iterable[Mapping[str, Any]], built: Iterable[str], there: Iterable[str]) -> list[DataTest]:
    """Return the tests of the models `built` that read nothing but models that are `there`."""
    changed, present = set(built), set(there)
    read = (DataTest(**{**test, "reads": tuple(test["reads"])}) for test in tests)
    return [test for test in read if changed.intersection(test.reads) and present.issuperset(test.reads)]


def audit(tests: Sequence[DataTest], ref: str) -> tuple[CheckResult, ...]:
    """Run `tests` on the tables of `ref`; returns their results, in the order of `tests`."""
    if not tests:
        return ()
    with duck.connect(ref, pin=False) as connection, ThreadPoolExecutor(_PARALLEL) as pool:
        return tuple(pool.map(lambda test: _ran(test, connection.cursor()), tests))


def _ran(test: DataTest, cursor: duckdb.DuckDBPyConnection) -> CheckResult:
    started = perf_counter()
    try:
        failures, warns, errs = cursor.execute(_judgement(test)).fetchall()[0]
        blocking = test.severity == "error" and (bool(errs) or not warns)
        passed = not (errs if test.severity == "error" else False) and not warns
        samples = () if passed else _samples(test, cursor)
    except duckdb.Error as error:
        return CheckResult(
            test.model, test.name, test.description, True, False, 0, perf_counter() - started, str(error)
        )
    seconds = perf_counter() - started
    return CheckResult(
        test.model, test.name, test.description, blocking, passed, int(failures or 0), seconds, "", samples
    )


def _judgement(test: DataTest) -> str:
    """Return the query dbt judges a test by: its number of failures, and whether it warns or fails."""
    return (
        f"select {test.fail_calc}, {test.fail_calc} {test.warn_if}, {test.fail_calc} {test.error_if} "  # noqa: S608
        f"from ({test.sql}) as dbt_internal_test"
    )


def _samples(test: DataTest, cursor: duckdb.DuckDBPyConnection) -> tuple[Mapping[str, Any], ...]:
    rows = cursor.execute(f"select * from ({test.sql}) as broken limit {SAMPLES}")  # noqa: S608
    names = [column[0] for column in rows.description or ()]
    return tuple(dict(zip(names, row, strict=True)) for row in rows.fetchall())


def _data_test(node: Any) -> DataTest:
    reads = tuple(key.split(".")[2] for key in node.depends_on.nodes if key.startswith("model."))
    return DataTest(
        name=node.name,
        model=node.attached_node.split(".")[2] if node.attached_node else reads[0],
        reads=reads,
        description=" ".join((node.description or "").split()),
        severity=node.config.severity.lower(),
        fail_calc=node.config.fail_calc,
        warn_if=node.config.warn_if,
        error_if=node.config.error_if,
        sql=node.compiled_code,
    )
