"""A branch's diff tells what was added, removed and changed, by key, whatever was written in between."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake_readings import DAY, day, days, rows, spec, write
from millpond.errors import LakeError, RefNotFound, TableNotFound
from millpond.lake import refs
from millpond.lake.catalog import load_catalog
from millpond.lake.comparison import TableComparison, compare
from millpond.lake.delta import RowChange
from millpond.lake.tables import Replacement, TableSpec, replace

pytestmark = pytest.mark.usefixtures("home")

MEASURES = pa.schema(
    [
        (DAY, pa.date32()),
        ("k", pa.string()),
        ("x", pa.float64()),
        ("note", pa.string()),
        ("_run_id", pa.string()),
    ]
)
DAYS = 4
Row = tuple[int, str | None, float | None, str | None]
"""Day, key, x, note."""

a_row = st.tuples(
    st.integers(0, DAYS - 1),
    st.sampled_from(["a", "b", "c", "d", None]),
    st.sampled_from([0.0, -0.0, 1.5, float("nan"), None]),
    st.sampled_from(["", "long", None]),
)
some_rows = st.lists(a_row, max_size=8)
a_write = st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1), some_rows)
"""First and last day that are replaced; the first after the last stands for all of the table."""


def measures(key: tuple[str, ...]) -> TableSpec:
    return TableSpec("raw.measures", MEASURES, window_column=DAY, key=key, grain="month")


def put(state: list[Row], change: tuple[int, int, list[Row]], key: tuple[str, ...], ref: str) -> list[Row]:
    """Write to the lake, and return what the table then holds."""
    first, last, wanted = change
    whole = first > last
    wanted = [row for row in wanted if whole or first <= row[0] <= last]
    data = pa.table(
        {
            DAY: [day(row[0]) for row in wanted],
            **{name: [row[i] for row in wanted] for i, name in ((1, "k"), (2, "x"), (3, "note"))},
            "_run_id": [f"run-{len(wanted)}"] * len(wanted),
        },
        schema=MEASURES,
    )
    window = None if whole else days(first, last)
    replace([Replacement(measures(key), data, window)], ref=ref, run_id="run")
    return wanted + [row for row in state if not whole and not first <= row[0] <= last]


def content(row: Row) -> tuple[Any, ...]:
    """Return what counts of a row: all but its day, which is lineage; one NaN, one zero."""
    x = "nan" if row[2] is not None and row[2] != row[2] else row[2]
    return row[1], 0.0 if x == 0 else x, row[3]


def expected(before: Sequence[Row], after: Sequence[Row], keyed: bool) -> tuple[int, int, int]:
    then, now = Counter(map(content, before)), Counter(map(content, after))
    come, gone = now - then, then - now
    if not keyed:
        return come.total(), gone.total(), 0
    came, went = (Counter(c[0] for c in side.elements()) for side in (come, gone))
    changed = (came & went).total()
    return come.total() - changed, gone.total() - changed, changed


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(a_write, max_size=2),
    on_branch=st.lists(a_write, min_size=1, max_size=3),
    on_base=st.lists(a_write, max_size=1),
    key=st.sampled_from([("k",), ()]),
)
def test_counts_by_key_equal_those_of_a_plain_comparison(
    before: list[Any], on_branch: list[Any], on_base: list[Any], key: tuple[str, ...]
) -> None:
    for ref in refs.list_refs():
        if ref.base:
            refs.drop(ref.name)
    if "raw.measures" in catalog_tables():
        load_catalog("main").drop_table("raw.measures")
    then: list[Row] = []
    for change in before:
        then = put(then, change, key, "main")
    refs.create("dev")
    now = then
    for change in on_branch:
        now = put(now, change, key, "dev")
    for change in on_base:
        put(then, change, key, "main")
    found = {c.table: c for c in compare("dev", samples=100).tables}
    delta = found["raw.measures"].rows if found else None
    counts = (delta.added, delta.removed, delta.changed) if delta else (0, 0, 0)
    assert counts == expected(then, now, bool(key))
    if delta:
        samples = (delta.samples_added, delta.samples_removed, delta.samples_changed)
        assert tuple(map(len, samples)) == counts
        assert all(change.columns for change in delta.samples_changed)


def catalog_tables() -> list[str]:
    return [".".join(name) for name in load_catalog("main").list_tables("raw")]


def only(**wanted: Any) -> TableComparison:
    (table,) = compare("dev", samples=10, **wanted).tables
    return table


def test_a_changed_row_shows_the_columns_that_changed_before_and_after() -> None:
    write({0: [1, 2]})
    refs.create("dev")
    data = rows({0: [1, 2]}).set_column(2, "value", pa.array([1, 20]))
    replace([Replacement(spec(), data, days(0, 0))], ref="dev", run_id="another")
    found = only()
    assert (found.change, found.key, found.windows) == ("changed", ("reading_id",), "2026-10-30")
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (0, 0, 1)
    assert found.rows.samples_changed == (RowChange({"reading_id": "0-2"}, {"value": (2, 20)}),)


def test_added_and_removed_rows_are_shown_without_their_lineage() -> None:
    write({0: [1], 1: [2]})
    refs.create("dev")
    write({0: [3]}, ref="dev")
    found = only()
    assert found.rows.samples_added == ({"reading_id": "0-3", "value": 3},)
    assert found.rows.samples_removed == ({"reading_id": "0-1", "value": 1},)


def test_rows_that_differ_by_lineage_alone_are_no_difference() -> None:
    write({0: [1], 1: [2]}, run="first")
    refs.create("dev")
    write({0: [1, 3], 1: [2]}, days(0, 1), ref="dev", run="second")
    write({0: [1], 1: [2]}, days(0, 1), ref="dev", run="third")
    assert (only().rows.added, only().rows.removed, only().rows.changed) == (0, 0, 0)


def test_a_table_replaced_as_a_whole_is_compared_by_key() -> None:
    whole = spec("gold.totals", window_column=None, grain=None)
    replace([Replacement(whole, rows({0: range(100)}), None)], ref="main", run_id="run")
    refs.create("dev")
    replace([Replacement(whole, rows({0: range(1, 102)}), None)], ref="dev", run_id="run")
    found = only()
    assert (found.windows, found.rows.added, found.rows.removed, found.rows.changed) == ("all", 2, 1, 0)


def test_a_new_column_changes_the_rows_in_which_it_has_a_value() -> None:
    write({0: [1, 2]})
    refs.create("dev")
    data = rows({0: [1, 2]}).append_column("note", pa.array([None, "x"]))
    replace([Replacement(spec(), data, days(0, 0))], ref="dev", run_id="run")
    found = only()
    assert found.columns_added == ("note",)
    assert found.rows.samples_changed == (RowChange({"reading_id": "0-2"}, {"note": (None, "x")}),)


def test_columns_that_went_or_have_another_type_are_named() -> None:
    whole = spec("gold.totals", window_column=None, grain=None)
    data = rows({0: [1, 2]})
    replace(
        [Replacement(whole, data.append_column("old", pa.array(["x", None])), None)], ref="main", run_id="r"
    )
    refs.create("dev")
    text = data.set_column(2, "value", pa.array(["1", "two"]))
    retyped = TableSpec("gold.totals", text.schema, key=("reading_id",))
    replace([Replacement(retyped, text, None)], ref="dev", run_id="r")
    found = only()
    assert (found.columns_removed, found.columns_retyped) == (("old",), ("value: int64 → large_string",))
    assert found.rows.samples_changed == (
        RowChange({"reading_id": "0-1"}, {"old": ("x", None)}),
        RowChange({"reading_id": "0-2"}, {"value": ("2", "two")}),
    )


def test_created_and_dropped_tables_are_told_with_all_their_rows() -> None:
    write({0: [1, 2]})
    refs.create("dev")
    write({0: [1, 2, 3]}, table=spec("silver.readings"), ref="dev")
    load_catalog("dev").drop_table("raw.readings")
    dropped, created = compare("dev", samples=1).tables
    assert (dropped.change, dropped.rows.removed, created.change, created.rows.added) == (
        "dropped",
        2,
        "created",
        3,
    )
    assert dropped.rows.samples_removed == ({"reading_id": "0-1", "value": 1},)
    assert (dropped.columns_removed, created.columns_added) == ((), ())


@pytest.mark.parametrize(
    ("main_writes", "moved", "both"),
    [({0: [9]}, "2026-10-30", "2026-10-30"), ({2: [9]}, "2026-11-01", "none"), (None, "none", "none")],
    ids=["same day", "another day", "nothing"],
)
def test_a_diff_tells_whether_the_base_has_moved_on_the_same_days(
    main_writes: Any, moved: str, both: str
) -> None:
    write({0: [1], 1: [2]})
    refs.create("dev")
    write({0: [3]}, ref="dev")
    if main_writes:
        write(main_writes)
    found = only()
    assert (found.base_moved, found.both) == (moved, both)
    assert compare("dev").moved == (("raw.readings",) if main_writes else ())
    assert (found.rows.added, found.rows.removed) == (1, 1), (
        "the base counts as it was when the branch was taken"
    )


def test_a_diff_is_asked_of_one_table() -> None:
    refs.create("dev")
    for name in ("raw.readings", "raw.others"):
        write({0: [1]}, table=spec(name), ref="dev")
    assert only(tables=["raw.others"]).table == "raw.others"
    with pytest.raises(TableNotFound, match=r"raw\.nothing"):
        compare("dev", ["raw.nothing"])


def test_only_a_branch_can_be_compared() -> None:
    with pytest.raises(LakeError, match="main is not a branch"):
        compare("main")
    with pytest.raises(RefNotFound, match="'gone'"):
        compare("gone")


def test_columns_called_like_ours_and_odd_types_are_compared() -> None:
    data = pa.table(
        {
            "copies": [1, 2],
            "millpond": pa.array([b"\x00", None]),
            "tags": pa.array([["a"], None], pa.list_(pa.string())),
            "place": pa.array([{"x": 1}, None], pa.struct([("x", pa.int64())])),
            "at": pa.array([dt.datetime(2026, 11, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
            'quo"ted': ["a", "b"],
        }
    )
    odd = TableSpec("raw.odd", data.schema, key=("copies",))
    replace([Replacement(odd, data, None)], ref="main", run_id="run")
    refs.create("dev")
    other = data.set_column(2, "tags", pa.array([["a", "b"], None], pa.list_(pa.string())))
    replace([Replacement(odd, other, None)], ref="dev", run_id="run")
    assert only().rows.samples_changed == (RowChange({"copies": 1}, {"tags": (["a"], ["a", "b"])}),)
