"""Tables of a few Parquet files are read without Iceberg's metadata, with the same columns and rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lake_readings import days, rows, spec, write
from millpond.lake import duck, metadata, pins, plain_files
from millpond.lake.catalog import LakeCatalog
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.runtime.extensions import open_duckdb

pytestmark = pytest.mark.usefixtures("home")
_MOMENT = dt.datetime(2026, 11, 1, 12, 30, 0, 123456)
_EVERY_TYPE = pa.table(
    {
        "yes": pa.array([True, None]),
        "i": pa.array([1, None], pa.int32()),
        "l": pa.array([2, None], pa.int64()),
        "f": pa.array([0.5, None], pa.float32()),
        "d": pa.array([0.25, None], pa.float64()),
        "Text": pa.array(["ä", None]),
        "day": pa.array([_MOMENT.date(), None]),
        "local": pa.array([_MOMENT, None], pa.timestamp("us")),
        "instant": pa.array([_MOMENT.replace(tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
        "amount": pa.array([Decimal("12.345"), None], pa.decimal128(9, 3)),
    }
)


def _store(table: pa.Table) -> None:
    replace([Replacement(TableSpec("raw.typed", table.schema), table, None)], ref="main", run_id="run")


def _locate(table: str) -> str:
    with pins.hold_pin("main") as now:
        return now.pointers[table]


def _describe_view(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    name = table.partition(".")[2]
    row = connection.execute("select sql from duckdb_views() where view_name = ?", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _read(table: str, *, plain: bool) -> tuple[Any, list[Any], str]:
    with pins.hold_pin("main") as now, open_duckdb() as connection:
        duck.Lake(connection, plain_files=plain).show(connection, now.pointers)
        found = connection.execute(f"from lake.{table} order by all")
        return found.description, found.fetchall(), _describe_view(connection, table)


def test_each_type_is_read_as_through_iceberg() -> None:
    _store(_EVERY_TYPE)
    columns, found, view = _read("raw.typed", plain=True)
    assert "read_parquet" in view
    usual_columns, usual, usual_view = _read("raw.typed", plain=False)
    assert "iceberg_scan" in usual_view
    assert (columns, found) == (usual_columns, usual)


def test_a_name_that_files_write_otherwise_is_read_through_iceberg() -> None:
    _store(pa.table({"of two words": ["a"]}))
    columns, found, view = _read("raw.typed", plain=True)
    assert ([column[0] for column in columns], found) == (["of two words"], [("a",)])
    assert "iceberg_scan" in view


def test_partitions_of_months_are_read_from_all_their_files() -> None:
    write({0: [1], 40: [2], 80: [3]})
    columns, found, view = _read("raw.readings", plain=True)
    assert view.count(".parquet") == 3
    assert (columns, found) == _read("raw.readings", plain=False)[:2]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1], None]),
        pa.array([{"n": 1}, None]),
        pa.array([dt.time(1, 2), None]),
        pa.array([b"\x00", None]),
    ],
)
def test_a_table_with_other_types_is_read_through_iceberg(column: pa.Array) -> None:
    _store(pa.table({"other": column}))
    assert plain_files.write_query(_locate("raw.typed")) is None
    assert "iceberg_scan" in _read("raw.typed", plain=True)[2]


def test_a_table_whose_columns_changed_is_read_through_iceberg() -> None:
    write({0: [1]})
    assert plain_files.write_query(_locate("raw.readings"))
    widened = rows({1: [2]}).append_column("note", [["new"]])
    replace([Replacement(spec(), widened, days(1, 1))], ref="main", run_id="run")
    assert plain_files.write_query(_locate("raw.readings")) is None
    assert [row[-1] for row in _read("raw.readings", plain=True)[1]] == [None, "new"]


def test_a_table_whose_former_schemas_were_removed_is_read_through_iceberg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({0: [1]})
    location = _locate("raw.readings")
    found = metadata.read_metadata(location)
    later = found.schema().model_copy(update={"schema_id": 3})
    pruned = found.model_copy(update={"schemas": [later], "current_schema_id": 3})
    monkeypatch.setattr(plain_files, "read_metadata", lambda _: pruned)
    assert plain_files.write_query(location) is None


def test_a_table_of_many_files_and_one_without_rows_are_read_through_iceberg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({0: [1], 40: [2], 80: [3]})
    monkeypatch.setattr(plain_files, "_MOST", 2)
    assert plain_files.write_query(_locate("raw.readings")) is None
    _store(_EVERY_TYPE.slice(0, 0))
    assert plain_files.write_query(_locate("raw.typed")) is None


def test_metadata_that_this_process_does_not_know_is_left_to_iceberg(monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1]})
    location = _locate("raw.readings")
    monkeypatch.setattr(metadata, "_parsed", type(metadata._parsed)())
    assert plain_files.write_query(location) is None


def test_rows_that_another_program_deleted_are_not_read() -> None:
    write({0: [1], 1: [2]})
    table = LakeCatalog("main").load_table("raw.readings")
    table.delete("value = 1")
    (row,) = _read("raw.readings", plain=True)[1]
    assert row[2] == 2
