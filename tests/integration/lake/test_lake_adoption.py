"""Files that another engine wrote become a table's, in one snapshot; the engine is played by PyIceberg."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pytest

from millpond.lake import read, tables
from millpond.lake.adoption import Adoption, adopt
from millpond.lake.catalog import LakeCatalog
from millpond.lake.hashing import compute_digests
from millpond.lake.metadata import read_summary
from millpond.lake.spec import Replacement, TableSpec, Written
from millpond.lake.windows import Windows
from millpond.partitions import Window
from millpond.runtime.home import Home

pytestmark = pytest.mark.usefixtures("home")

COLUMNS = pa.schema([("day", pa.date32()), ("name", pa.large_string()), ("value", pa.int64())])
NAME, RESULT = "gold.daily", "gold.daily__result"
Row = tuple[dt.date, str, int]


def day(number: int, month: int = 3) -> dt.date:
    return dt.date(2026, month, number)


def rows(*found: Row, schema: pa.Schema = COLUMNS) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in found], schema=schema)


def adopted(
    found: pa.Table, window: Window | None, *, grain: bool = True, inserts: list[str] | None = None
) -> Written:
    """Have `found` written as an engine would, and make it the rows of the window."""
    spec = TableSpec(NAME, found.schema, "day", ("day", "name"), "month" if grain else None)
    written = TableSpec(RESULT, found.schema, "day", grain="month" if grain else None)
    tables.replace([Replacement(written, found, None)], ref="main", run_id="engine")
    windows = Windows.of(window)
    there = read.scan("main", NAME, window=window) if read.exists("main", NAME) else rows()

    def insert(into: str, source: str, names: list[str], condition: str) -> None:
        if inserts is not None:
            inserts.append(condition)
        with duckdb.connect() as connection:
            connection.register("given", read.scan("main", source).select(names))
            chosen = connection.execute(f"from given where {condition}").to_arrow_table()
        target = LakeCatalog("main").load_table(into)
        missing = [f for f in target.schema().as_arrow() if f.name not in names]
        for field in missing:
            chosen = chosen.append_column(field.name, pa.nulls(len(chosen), field.type))
        target.append(chosen.select(target.schema().column_names))

    return adopt(
        Adoption(
            ref="main",
            run_id="run",
            spec=spec,
            result=RESULT,
            windows=windows,
            before=compute_digests(there, "day"),
            after=compute_digests(found, "day"),
            insert=insert,
        )
    )


def content(columns: Sequence[str] = ("day", "name", "value")) -> list[tuple[object, ...]]:
    return sorted(tuple(row[c] for c in columns) for row in read.scan("main", NAME).to_pylist())


def test_a_first_result_becomes_the_table_in_one_snapshot() -> None:
    window = Window.of_days(day(1), day(2))
    written = adopted(rows((day(1), "a", 1), (day(2), "b", 2)), window)
    assert content() == [(day(1), "a", 1), (day(2), "b", 2)]
    table = read.load_table("main", NAME)
    (snapshot,) = table.metadata.snapshots
    assert (read_summary(snapshot, "millpond.window"), read_summary(snapshot, "millpond.run_id")) == (
        str(window),
        "run",
    )
    assert (written.changed, written.rows, sorted(written.day_hashes)) == (True, 2, [day(1), day(2)])
    assert table.properties["millpond.key"] == "day,name"
    assert read.list_tables("main") == [NAME]


def test_the_same_rows_again_move_nothing() -> None:
    window = Window.of_day(day(1))
    first = adopted(rows((day(1), "a", 1)), window)
    again = adopted(rows((day(1), "a", 1)), window)
    assert (again.changed, again.snapshot_id) == (False, first.snapshot_id)
    assert read.list_tables("main") == [NAME]


@pytest.mark.parametrize("grain", [True, False])
def test_other_days_of_a_month_stay_when_one_is_replaced(grain: bool) -> None:
    months = [(day(n, month), "a", n) for month in (2, 3) for n in (1, 2, 3)]
    adopted(rows(*months), Window.of_days(day(1, 2), day(3)), grain=grain)
    inserts: list[str] = []
    adopted(rows((day(2), "b", 20)), Window.of_day(day(2)), grain=grain, inserts=inserts)
    assert content() == sorted([*(r for r in months if r[0] != day(2)), (day(2), "b", 20)])
    assert len(inserts) == 1
    assert len(read.load_table("main", NAME).metadata.snapshots) == 2


def test_whole_months_are_replaced_without_reading_any_row() -> None:
    adopted(rows((day(1, 2), "a", 1), (day(5), "a", 1)), Window.of_days(day(1, 2), day(31)))
    inserts: list[str] = []
    adopted(rows((day(7), "b", 2)), Window.of_days(day(1), day(31)), inserts=inserts)
    assert content() == [(day(1, 2), "a", 1), (day(7), "b", 2)]
    assert inserts == []


def test_a_day_that_has_become_empty_is_emptied() -> None:
    adopted(rows((day(1), "a", 1), (day(2), "a", 2)), Window.of_days(day(1), day(2)))
    written = adopted(rows(), Window.of_day(day(1)))
    assert (written.changed, written.rows, list(written.day_hashes)) == (True, 0, [day(1)])
    assert content() == [(day(2), "a", 2)]


def test_an_added_column_is_null_in_the_days_that_stay() -> None:
    adopted(rows((day(1), "a", 1), (day(2), "a", 2)), Window.of_days(day(1), day(2)))
    wider = COLUMNS.insert(1, pa.field("note", pa.large_string()))
    adopted(rows((day(2), "new", "b", 3), schema=wider), Window.of_day(day(2)))
    assert content(("day", "name", "value", "note")) == [(day(1), "a", 1, None), (day(2), "b", 3, "new")]


def test_a_whole_table_takes_the_columns_of_the_result() -> None:
    adopted(rows((day(1), "a", 1)), None)
    other = pa.schema([("day", pa.date32()), ("value", pa.float64())])
    adopted(rows((day(3), 1.5), schema=other), None)
    assert read.scan("main", NAME).to_pylist() == [{"day": day(3), "value": 1.5}]


def test_a_result_is_gone_and_its_files_are_the_tables(home: Home) -> None:
    adopted(rows((day(1), "a", 1)), Window.of_day(day(1)))
    (task,) = read.load_table("main", NAME).scan().plan_files()
    assert "daily__result" in task.file.file_path
    assert read.list_tables("main") == [NAME]
