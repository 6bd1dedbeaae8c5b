"""Rows that are said to be sorted are those that sorting leaves as they are."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from millpond.lake.parquet import is_sorted

DAYS = st.dates(dt.date(2026, 11, 1), dt.date(2026, 11, 3))
NUMBERS = st.one_of(st.none(), st.sampled_from([-1.0, -0.0, 0.0, 1.0, float("nan")]))
TEXTS = st.sampled_from(["", "a", "b"])
NAMES = ["day", "number", "text"]


@st.composite
def row_lists(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Return rows, often ones that are in order."""
    rows: list[tuple[Any, ...]] = draw(st.lists(st.tuples(DAYS, NUMBERS, TEXTS), max_size=6))
    return sorted(rows, key=lambda row: (row[0], row[1] or 0, row[2])) if draw(st.booleans()) else rows


@given(rows=row_lists(), names=st.permutations(NAMES), columns=st.integers(0, 3), cut=st.integers(0, 6))
@example(rows=[(dt.date(2026, 11, n), float(-n), "a") for n in (1, 2)], names=NAMES, columns=2, cut=1)
def test_sorted_rows_are_those_that_sorting_leaves_as_they_are(
    rows: list[tuple[Any, ...]], names: list[str], columns: int, cut: int
) -> None:
    kinds = zip(NAMES, (pa.date32(), pa.float64(), pa.string()), strict=True)
    table = pa.table(
        {name: pa.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(kinds)}
    )
    order = [(name, "ascending") for name in names[:columns]]
    chunked = pa.concat_tables([table[:cut], table[cut:]])
    found = is_sorted(chunked, order)
    if found and order:
        numbered = table.append_column("row", pa.array(range(len(rows)), pa.int64()))
        assert numbered.sort_by(order)["row"].to_pylist() == list(range(len(rows)))
    values = [row for name, _ in order for row in table[name].to_pylist()]
    if None not in values and not any(value != value for value in values):
        picked = [tuple(row[NAMES.index(name)] for name, _ in order) for row in rows]
        assert found == (picked == sorted(picked))
