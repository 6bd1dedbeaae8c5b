"""What a migration makes of values of one type as another, and which values it would lose."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millpond.ingestion.spec import SourceTable
from millpond.ingestion.type_changes import StagedTable, TypeChange

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
AT = pa.timestamp("us", "UTC")


def stage(folder: Path, values: pa.Array, **column: Any) -> tuple[StagedTable, TypeChange]:
    file = folder / "lake.parquet"
    pq.write_table(pa.table({"id": pa.array(range(len(values)), pa.int64()), "volts": values}), file)
    spec = {"name": "cells", "key": ["id"], "load": "whole", "columns": {"id": "int", "volts": column}}
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    table = SourceTable.model_validate(spec)
    return StagedTable(connection, file, table, ZoneInfo("UTC")), TypeChange("volts", "", column["type"])


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        (pa.int64(), "string", {1: "1", -5: "-5", None: None}),
        (pa.float64(), "string", {1.5: "1.5"}),
        (pa.bool_(), "string", {True: "true"}),
        (AT, "string", {NOON: "2026-11-01T12:00:00.000000Z"}),
        (pa.string(), "int", {"7": 7, "7.0": 7, "": None, None: None}),
        (pa.string(), "decimal(10,2)", {"1.50": Decimal("1.50"), "2": Decimal(2)}),
        (pa.string(), "number", {"1.5": 1.5, "1e3": 1000.0}),
        (pa.string(), "bool", {"true": True, "false": False}),
        (pa.string(), "timestamp", {"2026-11-01T13:00:00+01:00": NOON}),
        (pa.string(), "date", {"2026-11-01": NOON.date()}),
        (pa.int64(), "decimal(10,2)", {3: Decimal(3)}),
        (pa.float64(), "decimal(10,2)", {0.1: Decimal("0.10"), 1.25: Decimal("1.25")}),
        (pa.float64(), "int", {3.0: 3}),
        (pa.decimal128(12, 4), "decimal(10,2)", {Decimal("1.5000"): Decimal("1.50")}),
        (pa.decimal128(12, 4), "number", {Decimal("1.5000"): 1.5}),
        (pa.date32(), "timestamp", {NOON.date(): NOON.replace(hour=0)}),
        (AT, "date", {NOON.replace(hour=0): NOON.date()}),
    ],
)
def test_values_that_the_new_type_holds_are_converted(
    tmp_path: Path, before: pa.DataType, after: str, pairs: dict[Any, Any]
) -> None:
    staged, change = stage(tmp_path, pa.array(list(pairs), before), type=after)
    (counted,) = staged.count_losses([change])
    assert (counted.values, counted.lost) == (sum(value is not None for value in pairs), 0)
    found = pq.read_table(staged.convert([change], tmp_path / "new.parquet"))
    assert found["volts"].to_pylist() == list(pairs.values())
    assert found["id"].to_pylist() == list(range(len(pairs)))


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (pa.string(), "int", "Flat"),
        (pa.string(), "int", "1.5"),
        (pa.string(), "decimal(10,2)", "1.234"),
        (pa.string(), "decimal(4,2)", "1234.5"),
        (pa.string(), "number", "12345678901234567891"),
        (pa.string(), "timestamp", "noon"),
        (pa.float64(), "int", 1.5),
        (pa.float64(), "decimal(10,2)", 1.005),
        (pa.float64(), "decimal(10,2)", float("nan")),
        (pa.int64(), "number", 2**53 + 1),
        (pa.int64(), "bool", 2),
        (pa.int64(), "timestamp", 1793534400000),
        (pa.decimal128(12, 4), "decimal(10,2)", Decimal("1.2345")),
        (AT, "date", NOON),
    ],
)
def test_a_value_that_would_be_another_one_is_lost(
    tmp_path: Path, before: pa.DataType, after: str, lost: Any
) -> None:
    staged, change = stage(tmp_path, pa.array([None, lost], before), type=after)
    (counted,) = staged.count_losses([change])
    assert (counted.values, counted.lost, len(counted.samples)) == (1, 1, 1)


def test_codes_for_no_value_and_the_declared_form_of_times_are_those_of_the_spec(tmp_path: Path) -> None:
    values = pa.array(["n/a", "7"])
    staged, change = stage(tmp_path, values, type="int", no_value=["n/a"])
    assert staged.count_losses([change])[0].lost == 0
    assert pq.read_table(staged.convert([change], tmp_path / "new.parquet"))["volts"].to_pylist() == [None, 7]
    staged, change = stage(tmp_path, pa.array(["01.11.2026"]), type="date", format="%d.%m.%Y")
    assert staged.count_losses([change])[0].lost == 0
    found = pq.read_table(staged.convert([change], tmp_path / "new.parquet"))
    assert found["volts"].to_pylist() == [NOON.date()]
