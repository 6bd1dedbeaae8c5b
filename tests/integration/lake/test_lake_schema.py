"""Columns are added and numbers widen with the data; anything else is a typed conflict."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from lake_readings import DAY, SCHEMA, day, days, spec
from millpond.errors import SchemaConflict
from millpond.lake import duck, read
from millpond.lake.tables import Replacement, Written, replace
from millpond.partitions import Window

pytestmark = pytest.mark.usefixtures("home")

_BARE = pa.schema([(DAY, pa.date32())])


def _write(n: int, window: Window | None = None, whole: bool = False, **columns: Any) -> Written:
    """Replace the n-th day of a table by one row of these Arrow arrays."""
    data = pa.table({DAY: pa.array([day(n)], pa.date32()), **columns})
    table = spec(schema=_BARE, key=())
    window = None if whole else window or days(n, n)
    return replace([Replacement(table, data, window)], ref="main", run_id="run")[0]


def _read() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read.scan("main", "raw.readings").sort_by(DAY).to_pylist()
    return [{name: value for name, value in row.items() if name != DAY} for row in rows]


def test_a_new_column_is_added_and_old_rows_are_null_in_it() -> None:
    _write(0, a=pa.array([1]))
    _write(1, a=pa.array([2]), b=pa.array(["x"]))
    assert _read() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


def test_a_column_the_data_lacks_is_null() -> None:
    _write(0, a=pa.array([1]), b=pa.array(["x"]))
    _write(1, a=pa.array([2]))
    assert _read() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_a_new_column_that_is_null_does_not_change_the_content_of_a_day() -> None:
    first = _write(0, a=pa.array([1]))
    again = _write(0, a=pa.array([1]), b=pa.array([None], pa.string()))
    assert not again.changed
    assert again.content_hash == first.content_hash
    assert read.scan("main", "raw.readings").column_names == [DAY, "a", "b"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40], pa.int64())),
        (pa.array([1.5], pa.float32()), pa.array([1e300], pa.float64())),
        (pa.array([1], pa.decimal128(5, 2)), pa.array([1], pa.decimal128(20, 2))),
    ],
    ids=["int to long", "float to double", "more digits"],
)
def test_numbers_widen_and_old_files_are_read_as_the_wider_type(before: pa.Array, after: pa.Array) -> None:
    _write(0, v=before)
    _write(1, v=after)
    assert read.scan("main", "raw.readings").schema.field("v").type == after.type
    assert [row["v"] for row in _read()] == [before[0].as_py(), after[0].as_py()]
    with duck.connect() as connection:
        assert connection.execute("select count(v) from raw.readings").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "narrow",
    [pa.array([7], pa.int8()), pa.array([7], pa.uint16()), pa.array([7], pa.int32())],
    ids=str,
)
def test_narrower_numbers_are_stored_in_the_tables_type(narrow: pa.Array) -> None:
    _write(0, v=pa.array([1], pa.int64()))
    _write(1, v=narrow)
    assert [row["v"] for row in _read()] == [1, 7]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (pa.array([1]), pa.array(["one"]), "v is int64 in the table and string in the data"),
        (pa.array(["one"]), pa.array([1]), "v is string in the table and int64 in the data"),
        (pa.array([1]), pa.array([1.5]), "v is int64 in the table and double in the data"),
        (
            pa.array([dt.datetime(2026, 1, 1)]),
            pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]),
            "v is timestamp in the table and timestamp with time zone in the data",
        ),
    ],
)
def test_a_type_that_does_not_fit_is_a_conflict(before: pa.Array, after: pa.Array, told: str) -> None:
    _write(0, v=before)
    with pytest.raises(SchemaConflict, match=told):
        _write(1, v=after)
    assert len(_read()) == 1


def _turn(n: int, value: float | None, column: str = "v") -> Written:
    declared = spec(schema=pa.schema([(DAY, pa.date32()), (column, pa.float64())]), key=())
    data = pa.table(
        {DAY: pa.array([day(n)], pa.date32()), column: pa.array([value], pa.float64()), "w": ["2"]}
    )
    return replace([Replacement(declared, data, days(n, n))], ref="main", run_id="run")[0]


@pytest.mark.parametrize("value", [6.1, None, 3.0], ids=["other rows", "no value", "the same rows"])
def test_whole_numbers_that_are_declared_as_numbers_become_that_and_every_value_is_kept(
    value: float | None,
) -> None:
    for n in (0, 1, 2, 40):  # two months: files of other partitions are written anew too
        _write(n, v=pa.array([n + 1]), w=pa.array([str(n)]))
    assert _turn(2, value).changed is (value != 3.0)
    assert read.scan("main", "raw.readings").schema.field("v").type == pa.float64()
    assert [row["v"] for row in _read()] == [1.0, 2.0, value, 41.0]
    assert [row["w"] for row in _read()] == ["0", "1", "2", "40"]
    with duck.connect() as connection:
        assert connection.execute("select v from raw.readings order by 1 nulls first").fetchall() == [
            (v,) for v in sorted([1.0, 2.0, value, 41.0], key=lambda v: -1 if v is None else v)
        ]
    assert not _turn(2, value).changed
    _write(1, v=pa.array([7]), w=pa.array(["7"]))  # by whoever still has the declaration of before
    assert _read()[1] == {"v": 7.0, "w": "7"}


def test_a_whole_number_that_no_number_holds_exactly_keeps_its_column_as_it_is() -> None:
    _write(0, v=pa.array([2**53 + 1]))
    with pytest.raises(
        SchemaConflict, match=r"raw\.readings\.v: a value does not fit the column's type double"
    ):
        _turn(1, 1.5)
    assert _read() == [{"v": 2**53 + 1}]


def test_a_value_that_does_not_fit_is_a_conflict_naming_the_column() -> None:
    _write(0, v=pa.array([1], pa.decimal128(3, 0)))
    with pytest.raises(SchemaConflict, match=r"raw\.readings\.v: a value does not fit"):
        _write(1, v=pa.array([10**12], pa.int64()))


@pytest.mark.parametrize("other", ["Value", "VALUE", "val ue", "ｖalue"])
def test_names_that_differ_only_in_looks_are_refused(other: str) -> None:
    with pytest.raises(SchemaConflict, match="differ only by case, blanks or composition"):
        _write(0, value=pa.array([1]), **{other: pa.array([2])})
    _write(0, value=pa.array([1]))
    with pytest.raises(SchemaConflict, match="differ only by case, blanks or composition"):
        _write(1, **{other: pa.array([2])})


def test_a_column_that_is_there_twice_is_refused() -> None:
    data = pa.table([pa.array([day(0)]), pa.array([1]), pa.array([2])], names=[DAY, "v", "v"])
    with pytest.raises(SchemaConflict, match="two columns 'v'"):
        replace([Replacement(spec(schema=_BARE), data, days(0, 0))], ref="main", run_id="run")


def test_an_all_null_column_is_typed_by_the_first_data_that_has_a_type() -> None:
    _write(0, v=pa.nulls(1))
    assert read.scan("main", "raw.readings").column_names == [DAY]
    _write(1, v=pa.array([1.5]))
    _write(2, v=pa.nulls(1))
    assert [row["v"] for row in _read()] == [None, 1.5, None]


def test_lists_and_structs_are_stored() -> None:
    nested = {"tags": ["a", None], "who": {"name": "Ada", "age": 36}}
    _write(0, tags=pa.array([nested["tags"]]), who=pa.array([nested["who"]]))
    assert _read() == [nested]


def test_a_type_iceberg_does_not_know_is_a_conflict() -> None:
    with pytest.raises(SchemaConflict, match="tables of the lake cannot have a column of the type uint64"):
        _write(0, v=pa.array([2**63], pa.uint64()))


def test_replacing_the_whole_table_gives_it_the_columns_of_the_data() -> None:
    _write(0, a=pa.array([1]), b=pa.array(["x"]), c=pa.array([1]))
    _write(0, whole=True, c=pa.array(["now text"]), a=pa.array([2], pa.int32()), d=pa.array([True]))
    found = read.scan("main", "raw.readings")
    assert found.column_names == [DAY, "c", "a", "d"]
    assert _read() == [{"c": "now text", "a": 2, "d": True}]
    assert found.schema.field("a").type == pa.int64()


def test_the_partition_column_outlives_a_whole_replacement() -> None:
    _write(0, a=pa.array([1]))
    without = spec(schema=pa.schema([("a", pa.int64())]), window_column=None, grain=None, key=())
    with pytest.raises(SchemaConflict, match=f"is partitioned by {DAY}"):
        replace([Replacement(without, pa.table({"a": [1]}), None)], ref="main", run_id="run")


def test_comments_and_description_reach_the_table() -> None:
    told = spec(comments={"value": "mg/dL"}, description="Readings of a sensor.")
    replace([Replacement(told, SCHEMA.empty_table(), days(0, 0))], ref="main", run_id="run")
    table = read.load_table("main", "raw.readings")
    assert table.schema().find_field("value").doc == "mg/dL"
    assert table.properties["comment"] == "Readings of a sensor."


def test_a_changed_comment_reaches_the_table_that_is_there_and_makes_no_snapshot_of_the_same_rows() -> None:
    rows = pa.table({DAY: pa.array([day(0)], pa.date32()), "value": pa.array([1])})

    def told(comment: str) -> Written:
        replacement = Replacement(spec(schema=_BARE, key=(), comments={"value": comment}), rows, days(0, 0))
        return replace([replacement], ref="main", run_id="run")[0]

    first, again = told("mg/dl"), told("mg/dL, by the sensor")
    table = read.load_table("main", "raw.readings")
    assert table.schema().find_field("value").doc == "mg/dL, by the sensor"
    assert (again.changed, again.snapshot_id) == (False, first.snapshot_id)
    assert len(table.metadata.schemas) == 2
    assert not told("mg/dL, by the sensor").changed
    assert read.load_table("main", "raw.readings").metadata_location == table.metadata_location
