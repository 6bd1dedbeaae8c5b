"""Readings for tests of the lake: small tables, known rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from millpond.lake import read
from millpond.lake.pins import Pin
from millpond.lake.tables import Replacement, TableSpec, Written, replace
from millpond.partitions import Window

DAY = "_partition_date"
FIRST = dt.date(2026, 10, 30)
SCHEMA = pa.schema(
    [
        (DAY, pa.date32()),
        ("reading_id", pa.string()),
        ("value", pa.int64()),
        ("_run_id", pa.string()),
    ]
)


def day(n: int) -> dt.date:
    """Return the n-th day; the first two lie in October, the rest in November."""
    return FIRST + dt.timedelta(days=n)


def days(first: int, last: int) -> Window:
    """Return the window from the first-th to the last-th day, both included."""
    return Window.of_days(day(first), day(last))


def spec(name: str = "raw.readings", schema: pa.Schema = SCHEMA, **changes: Any) -> TableSpec:
    """Return a table of readings by day, in monthly partitions."""
    told: dict[str, Any] = {"window_column": DAY, "key": ("reading_id",), "grain": "month", **changes}
    return TableSpec(name, schema, **told)


def rows(values: dict[int, Iterable[int]], run: str = "run") -> pa.Table:
    """Return one row for each value of each day; a row's id tells day and value."""
    flat = [(n, v) for n, several in values.items() for v in several]
    return pa.table(
        {
            DAY: [day(n) for n, _ in flat],
            "reading_id": [f"{n}-{v}" for n, v in flat],
            "value": [v for _, v in flat],
            "_run_id": [run] * len(flat),
        },
        schema=SCHEMA,
    )


def write(
    values: dict[int, Iterable[int]],
    window: Window | None = None,
    *,
    table: TableSpec | None = None,
    ref: str = "main",
    run: str = "run",
) -> Written:
    """Replace `window` (default: the days of `values`) with one row for each value."""
    window = window or days(min(values), max(values))
    (written,) = replace([Replacement(table or spec(), rows(values, run), window)], ref=ref, run_id=run)
    return written


def found(table: str = "raw.readings", ref: str | Pin = "main") -> dict[int, list[int]]:
    """Return the values of each day that has any, sorted; the inverse of `rows`."""
    result: dict[int, list[int]] = {}
    for row in read.scan(ref, table).to_pylist():
        n = (row[DAY] - FIRST).days
        assert row["reading_id"] == f"{n}-{row['value']}"
        result.setdefault(n, []).append(row["value"])
    return {n: sorted(several) for n, several in sorted(result.items())}
