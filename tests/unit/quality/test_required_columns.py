"""Nulls in required columns are counted alike, whether a condition says which rows need a value or not."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from millpond.quality.required_columns import count_nulls

VALUES = st.one_of(st.none(), st.integers(0, 2))


@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=6), cut=st.integers(0, 6))
def test_rows_with_and_without_a_condition_are_counted_alike(
    rows: list[tuple[int | None, int | None]], cut: int
) -> None:
    a, b = (pa.array([row[at] for row in rows], pa.int64()) for at in range(2))
    table = pa.concat_tables([pa.table({"a": a, "b": b})[:cut], pa.table({"a": a, "b": b})[cut:]])
    without = {"a": (len(rows), sum(row[0] is None for row in rows))}
    due = [row for row in rows if row[0] is not None and row[0] > 0]
    with_one = {"b": (len(due), sum(row[1] is None for row in due))}
    assert count_nulls(table, {"a": "true", "b": "a > 0"}) == without | with_one
    assert count_nulls(table, {"a": "(true)", "b": "true"}) == without | {
        "b": (len(rows), sum(row[1] is None for row in rows))
    }
