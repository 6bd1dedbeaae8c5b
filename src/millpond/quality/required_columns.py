"""Required columns have values in the table itself, however its rows were written: one query for all."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from millpond.errors import TableNotFound
from millpond.ingestion.spec import SourceTable
from millpond.naming import PARTITION_COLUMN, pluralize, quoted
from millpond.partitions import Window
from millpond.quality.measures import SAMPLES, CheckResult

if TYPE_CHECKING:
    from millpond.lake.refs import Pin

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
}


@lru_cache(1)
def _open_duckdb(pid: int) -> duckdb.DuckDBPyConnection:  # noqa: ARG001 - a forked process needs its own
    """Return this process's DuckDB for conditions: opening one takes longer than a query."""
    return duckdb.connect(":memory:", config=_CLOSED)


def find_conditions(table: SourceTable) -> dict[str, str]:
    """Return for each column that must have a value the SQL condition under which it must."""
    found: dict[str, str] = {}
    for name, column in table.columns.items():
        if column.required or name in table.identifying:
            found[name] = "true"
        elif column.required_when:
            found[name] = column.required_when
    return found


def check_no_nulls(
    ref: str | Pin, table: SourceTable, window: Window | None, declared: Mapping[str, int] | None = None
) -> dict[str, CheckResult]:
    """Return a result for each column that the contract of `table` requires, over the rows of `window`.

    `declared` says how many nulls of a column were values that the contract turned into null.
    """
    from millpond.lake import read  # slow to import

    rules = find_conditions(table)
    try:
        rows = read.scan(ref, table.raw_table, columns=_list_columns(table, rules), window=window)
    except TableNotFound:
        return {name: CheckResult(True, "there are no rows yet", {"rows": 0, "nulls": 0}) for name in rules}
    numbers = count_nulls(rows, rules)
    results = {}
    for name, rule in rules.items():
        due, nulls = numbers[name]
        samples = _fetch_samples(rows, _break(name, rule)) if nulls else []
        results[name] = _build_result(name, rule, due, nulls, (declared or {}).get(name, 0), samples)
    return results


def count_nulls(rows: pa.Table, rules: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return for each column of `rules` how many rows must have a value, and how many of these have none."""
    found = {name: (rows.num_rows, rows[name].null_count) for name, rule in rules.items() if rule == "true"}
    if conditions := {name: rule for name, rule in rules.items() if name not in found}:
        counts = ", ".join(
            f"count(*) filter (where {rule}), count(*) filter (where {_break(name, rule)})"
            for name, rule in conditions.items()
        )
        numbers = _query(rows, f"select {counts} from found")  # noqa: S608 - checked when the spec was read
        flat = [column[0].as_py() for column in numbers.columns]
        found |= dict(zip(conditions, zip(flat[::2], flat[1::2], strict=True), strict=True))
    return found


def _break(name: str, rule: str) -> str:
    return f"({rule}) and {quoted(name)} is null"


def _query(rows: pa.Table, sql: str) -> pa.Table:
    with _open_duckdb(os.getpid()).cursor() as connection:
        connection.register("found", rows)
        return connection.execute(sql).to_arrow_table()


def _build_result(
    name: str, rule: str, due: int, nulls: int, allowed: int, samples: list[dict[str, object]]
) -> CheckResult:
    where = "" if rule == "true" else f" where {rule}"
    summary = f"{name} has a value in each of {pluralize(due, 'row')}{where}"
    if nulls:
        summary = f"{name} is null in {nulls} of {pluralize(due, 'row')}{where}"
    if allowed:
        summary += f"; {pluralize(allowed, 'value', 'were')} set to null by the contract"
    numbers = {"rows": due, "nulls": nulls, "nulls_allowed": allowed}
    return CheckResult(nulls <= allowed, summary, numbers, samples)


def _fetch_samples(rows: pa.Table, broken: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = _query(
        rows,
        f"select * from found where {broken} limit {SAMPLES}",  # noqa: S608 - as above
    ).to_pylist()
    return found


def _list_columns(table: SourceTable, rules: Mapping[str, str]) -> list[str]:
    """Return the columns that the rules use, and those that identify a row."""
    words = set(re.findall(r"\w+", " ".join(rules.values())))
    used = [name for name in table.columns if name in rules or name in words]
    return [*used, *([PARTITION_COLUMN] if table.has_days else []), "_run_id"]
