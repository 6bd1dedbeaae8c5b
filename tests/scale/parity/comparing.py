"""Expressions over one table, computed by both engines in one query each, and where the results differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import pyarrow as pa
from dbt.contracts.graph.manifest import Manifest
from engines import Lake, Result, on_duckdb, rendered
from hypothesis.strategies import SearchStrategy

SHOWN = 3
"""Rows of a difference that a failing test tells."""


def query(table: str, expressions: Mapping[str, str], condition: str = "") -> str:
    """Return the template of a query that computes `expressions` for each row, or each group, of an input."""
    grouped = table.endswith(".samples")
    key = "" if condition else ("g, " if grouped else "id, ")
    columns = ", ".join(f"{sql} as {name}_" for name, sql in expressions.items())
    end = f"where {condition}" if condition else (" group by g" if grouped else "")
    return f"select {key}{columns} from parity.{table} {end}"


def both(
    template: str,
    table: str,
    rows: pa.Table,
    lake: Lake,
    manifests: Mapping[str, Manifest],
    **variables: object,
) -> dict[str, Result]:
    """Return what each engine makes of a query over an input that lies in the lake already."""
    sql = {e: rendered(e, template, m, **variables) for e, m in manifests.items()}
    return {"duckdb": on_duckdb(sql["duckdb"], table, rows), "trino": lake.query(sql["trino"])}


def differences(results: Mapping[str, Result]) -> dict[str, object]:
    """Return what differs by column: the types, or some of the rows with both values."""
    one, other = results["duckdb"], results["trino"]
    found: dict[str, object] = {}
    if list(one.types) != list(other.types):
        return {"columns": (list(one.types), list(other.types))}
    pairs = list(zip(_ordered(one), _ordered(other), strict=False))
    if len(one.rows) != len(other.rows):
        found["rows"] = (len(one.rows), len(other.rows))
    for place, name in enumerate(one.types):
        unlike = [(a[0], a[place], b[place]) for a, b in pairs if not _same(a[place], b[place])]
        if one.types[name] != other.types[name]:
            found[f"type of {name}"] = (one.types[name], other.types[name])
        if unlike:
            found[name] = [len(unlike), *unlike[:SHOWN]]
    return found


def drawn(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """Return `count` values of a strategy, the same each time; both engines then take them in one query."""
    values: list[Any] = []

    @hypothesis.settings(max_examples=count, deadline=None, derandomize=True, database=None)
    @hypothesis.given(strategy)
    def keep(value: Any) -> None:
        values.append(value)

    collect: Callable[[], None] = keep
    collect()
    return values


def _ordered(result: Result) -> list[tuple[Any, ...]]:
    return (
        sorted(result.rows, key=lambda row: (row[0] is None, row[0])) if len(result.rows) > 1 else result.rows
    )


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
