"""The audit of a branch: the project's data tests, judged as dbt judges them, those of a table in one query.

dbt spends 30 ms and more on each test before its query starts, and the query as much on opening its table.
What a test asks does not depend on the run, so its SQL is compiled once, when the project is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from millpond.transform.data_tests import DataTest
from millpond.transform.results import CheckResult

SAMPLES = 20
_TABLE = "audited"

Ask = Callable[[str], tuple[list[str], Sequence[Sequence[Any]]]]
"""Runs a query on the ref under audit; returns names of columns and rows, or raises Refused."""


class Refused(Exception):
    """The engine could not run a query; the text is its own."""


def audit(tests: Sequence[DataTest], ask: Ask) -> list[CheckResult]:
    """Run `tests`; returns their results, those of the same rows together."""
    groups: dict[tuple[object, ...], list[DataTest]] = {}
    for test in tests:
        groups.setdefault((test.relations, test.opened), []).append(test)
    return [result for group in groups.values() for result in _judged(group, ask)]


def _judged(tests: Sequence[DataTest], ask: Ask) -> list[CheckResult]:
    """Run tests of the same tables in one query, or each by itself if that fails."""
    started = perf_counter()
    try:
        _, verdicts = ask(_query(tests))
    except Refused as error:
        if len(tests) == 1:
            return [_not_run(tests[0], str(error))]
        return [result for test in tests for result in _judged([test], ask)]
    seconds = (perf_counter() - started) / len(tests)
    return [
        _result(tests[number], failures or 0, warns, errs, seconds, ask)
        for number, failures, warns, errs in sorted(verdicts, key=lambda verdict: verdict[0])
    ]


def _query(tests: Sequence[DataTest]) -> str:
    """Return the query that judges tests of the same tables as dbt does, a row for each.

    It opens a table once, where each test by itself would.
    """
    parts = []
    for number, test in enumerate(tests):
        calculated = test.fail_calc
        verdict = f"{number}, {calculated}, {calculated} {test.warn_if}, {calculated} {test.error_if}"
        parts.append(f"select {verdict} from ({_sql(test)}) as broken")  # noqa: S608
    return _opened(tests[0]) + " union all ".join(parts)


def _opened(test: DataTest) -> str:
    """Return the WITH clause under whose names a test reads its tables."""
    opened = (
        f"{_TABLE}_{number} as ({test.opened or f'table {relation}'})"
        for number, relation in enumerate(test.relations)
    )
    return f"with {', '.join(opened)} "


def _sql(test: DataTest) -> str:
    sql = test.sql
    for number, relation in enumerate(test.relations):
        sql = sql.replace(relation, f"{_TABLE}_{number}")
    return sql


def _result(
    test: DataTest,
    failures: int,
    warns: bool,
    errs: bool,
    seconds: float,
    ask: Ask,
) -> CheckResult:
    blocked = test.severity == "error" and errs
    passed = not blocked and not warns
    return CheckResult(
        model=test.model,
        check=test.name,
        description=test.description,
        blocking=blocked or (passed and test.severity == "error"),
        passed=passed,
        failures=int(failures),
        seconds=seconds,
        samples=() if passed else _samples(test, ask),
        key_days=() if passed else _key_days(test, ask),
        raw=test.raw,
    )


def _not_run(test: DataTest, message: str) -> CheckResult:
    return CheckResult(test.model, test.name, test.description, True, False, 0, 0.0, message)


def _samples(test: DataTest, ask: Ask) -> tuple[Mapping[str, Any], ...]:
    names, rows = ask(f"{_opened(test)} select * from ({_sql(test)}) as broken limit {SAMPLES}")  # noqa: S608
    return tuple(dict(zip(names, row, strict=True)) for row in rows)


def _key_days(test: DataTest, ask: Ask) -> tuple[str, ...]:
    """Return the days, in order, of keys that are on more than one; none where `test` is of no keys."""
    if not test.key or not test.day:
        return ()
    columns, day = ", ".join(f"ours.{column}" for column in test.key), f"ours.{test.day}"
    same = " and ".join(f"ours.{column} = broken.{column}" for column in test.key)
    try:
        _, rows = ask(
            f"{_opened(test)}select cast(min({day}) as varchar), cast(max({day}) as varchar)"  # noqa: S608 - names of the project's
            f" from {test.relations[0]} as ours join (select * from ({_sql(test)}) as found limit {SAMPLES})"
            f" as broken on {same} group by {columns} having min({day}) < max({day})"
        )
    except Refused:  # the verdict stands without them
        return ()
    return tuple(sorted({str(day)[:10] for row in rows for day in row}))
