"""A change of a source has the result that docs/sources.md states, of JSON and of typed rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import yaml

from millpond.errors import FieldsMissing, FieldsUnknown, MillpondError, TooManyBadRows
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window
from project_folders import CHECKOUT

DAY = dt.date(2026, 11, 1)
ROWS = 6
Row = dict[str, Any]


def one_is_text(rows: list[Row]) -> list[Row]:
    return [row | {"volts": "Flat" if row["id"] == 1 else row["volts"]} for row in rows]


CHANGES: dict[str, Callable[[list[Row]], list[Row]]] = {
    "new field": lambda rows: [row | {"comment": "x" if row["id"] == 1 else None} for row in rows],
    "missing field": lambda rows: [{name: row[name] for name in row if name != "volts"} for row in rows],
    "field missing in one row": lambda rows: [
        row if row["id"] != 1 else {"id": 1, "at": row["at"]} for row in rows
    ],
    "renamed field": lambda rows: [
        {"millivolts" if n == "volts" else n: row[n] for n in row} for row in rows
    ],
    "a value of another type": one_is_text,
    "all values of another type": lambda rows: [row | {"volts": "Flat"} for row in rows],
    "object in place of a value": lambda rows: [row | {"volts": {"at": 1}} for row in rows],
    "null in all rows": lambda rows: [row | {"volts": None} for row in rows],
}


def stated() -> list[tuple[str, str, str]]:
    text = (CHECKOUT / "docs" / "sources.md").read_text()
    table = text.partition("| change | setting | result |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return [
        tuple(part.strip().strip("`") for part in line.strip("|").split("|")) for line in table.split("\n")
    ]  # type: ignore[misc]


def as_typed(rows: list[Row]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values} - {type(None)}
        mixed = len(kinds) > 1
        columns[name] = pa.array([str(v) if mixed else v for v in values], None if kinds else pa.int64())
    return pa.table(columns)


def load_changed(change: str, setting: str, *, typed: bool, **more: Any) -> LoadResult:
    at = f"{DAY}T12:00:00Z"
    rows = CHANGES[change]([{"id": n, "at": at, "volts": n} for n in range(ROWS)])
    given = {} if setting == "none" else yaml.safe_load(setting)
    volts = {"type": "int", **given.pop("column", {})}
    declared = {
        "name": "cells",
        "resource": lambda: as_typed(rows) if typed else iter(rows),
        "key": ["id"],
        "event_time": {"column": "at"},
        "columns": {"id": "int", "at": "timestamp", "volts": volts},
        "quarantine": {"fail_above": 1},
        **given,
        **more,
    }
    spec = SourceSpec.model_validate({"source": "cells", "tables": [declared]})
    return load(spec, spec.tables[0], Window.of_day(DAY), ref="main", run_id="test")


def rows_of(layer: str) -> list[Row]:
    name = f"{layer}.cells"
    return read.scan("main", name).to_pylist() if read.exists("main", name) else []


ERRORS = {
    "new field": (FieldsUnknown, "comment ("),
    "missing field": (FieldsMissing, "no row has the field volts"),
    "renamed field": (FieldsMissing, "volts is probably called millivolts now"),
    "a value of another type": (TooManyBadRows, "volts is no whole number"),
    "all values of another type": (FieldsMissing, "no value of the column volts is usable"),
    "object in place of a value": (FieldsMissing, "no value of the column volts is usable"),
}


def check(change: str, result: str, found: LoadResult) -> None:
    raw, bad = rows_of("raw"), rows_of("quarantine")
    if result.startswith("the day is not loaded"):
        (error,) = found.failed.values()
        kind, text = ERRORS[change]
        assert isinstance(error, kind)
        assert text in error.what
        assert raw == bad == []
        return
    assert not found.failed
    assert len(raw) + len(bad) == ROWS
    expected: Any = {
        "null": [
            None if change != "field missing in one row" or row["id"] == 1 else row["id"] for row in raw
        ],
        "null, counted": [None if row["id"] == 1 or change.startswith("all") else row["id"] for row in raw],
        "is loaded as JSON": ['{"at":1}'] * ROWS,
    }.get(result, [row["id"] for row in raw])
    assert [row["volts"] for row in raw] == expected
    assert ("comment" in raw[0] if raw else False) == (result == "becomes a column")
    (day,) = found.partitions
    assert bool(day.nulled) == (result == "null, counted")
    few = change in {"new field", "field missing in one row", "a value of another type"}
    assert len(bad) == ((1 if few else ROWS) if "quarantine" in result else 0)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
@pytest.mark.parametrize(("change", "setting", "result"), stated(), ids=[f"{c}-{s}" for c, s, _ in stated()])
def test_a_change_of_the_source_has_the_result_of_the_documentation(
    change: str, setting: str, result: str, typed: bool
) -> None:
    check(change, result, load_changed(change, setting, typed=typed))


def test_the_table_of_the_documentation_has_each_change_of_a_source() -> None:
    assert {change for change, *_ in stated()} == set(CHANGES)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
@pytest.mark.parametrize(
    "more",
    [{"write": "upsert"}, {"write": "append"}, {"load": "whole", "event_time": None}],
    ids=["upsert", "append", "whole"],
)
def test_each_way_to_write_takes_no_row_of_a_frozen_table_and_the_others_of_quarantine(
    more: dict[str, Any], typed: bool
) -> None:
    (error,) = load_changed("new field", "unknown_columns: freeze", typed=typed, **more).failed.values()
    assert isinstance(error, FieldsUnknown)
    assert "unknown_columns: freeze takes none: comment (6 rows)" in error.what
    assert "sources/cells.yaml" in error.next_step
    assert rows_of("raw") == []
    assert not load_changed("new field", "unknown_columns: quarantine", typed=typed, **more).failed
    assert sorted(row["id"] for row in rows_of("raw")) == [0, 2, 3, 4, 5]
    assert [row["reason"] for row in rows_of("quarantine")] == ["comment is not declared"]


@pytest.mark.usefixtures("home")
def test_rows_with_undeclared_fields_count_for_the_limit_of_bad_rows() -> None:
    limited = {"quarantine": {"fail_above": 0.1, "fail_at_least": 1}}
    found = load_changed("new field", "unknown_columns: quarantine", typed=False, **limited)
    (error,) = found.failed.values()
    assert isinstance(error, MillpondError)
    assert "comment is not declared (1)" in str(error)
