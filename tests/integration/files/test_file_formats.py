"""JSON, Excel and what a file's name and time say become rows, days and columns."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import Any

import pytest
import xlsxwriter
from file_sources import COLUMNS, DAY, NEXT, Drop, sales

from millpond.errors import FilesMissing, SourceMalformed

ROWS = [{"id": n, "at": "2026-01-05T10:00:00Z", "amount": 1.5} for n in range(3)]
BY_NAME = {
    "id": {"type": "int"},
    "day": {"type": "date", "field": "_file_date"},
    "file": {"type": "string", "field": "_file_name"},
}
ITS_DAY = {"event_time": {"column": "day", "unit": "date"}}


def test_a_json_document_holds_rows_where_the_selector_leads(drop: Drop) -> None:
    drop.put("a.json", json.dumps({"items": ROWS, "more": 1}))
    assert not drop.load(drop.spec("*.json", data_selector="items")).failed
    assert sales("id") == [0, 1, 2]
    error = drop.load(drop.spec("*.json")).failed[DAY]
    assert isinstance(error, SourceMalformed)
    assert "a.json: it is no list of rows" in str(error)


def test_json_lines_under_the_name_of_json_are_refused_with_the_cure(drop: Drop) -> None:
    drop.put("a.json", "\n".join(map(json.dumps, ROWS)))
    assert "format: jsonl" in str(drop.load(drop.spec("*.json")).failed[DAY])
    assert not drop.load(drop.spec("*.json", format="jsonl")).failed
    assert sales("id") == [0, 1, 2]


@pytest.mark.parametrize("name", ["s_{}.csv", "s_{}.jsonl", "s_{}.json"])
def test_rows_without_a_date_are_of_the_day_in_the_name(drop: Drop, name: str) -> None:
    rows = {"csv": "id\n1\n2\n", "jsonl": '{"id": 1}\n{ "id":2}\n{}\n', "json": '[{"id": 1}, {"id": 2}]'}
    drop.put(name.format("20260105"), rows[name.rpartition(".")[2]])
    drop.put(name.format("20260106"), rows[name.rpartition(".")[2]])
    spec = drop.spec(name.format("{date}"), BY_NAME, ITS_DAY, date_format="%Y%m%d")
    assert not drop.load(spec, DAY, NEXT).failed
    assert sales("id", "day", "file") == [
        {"id": n, "day": day, "file": name.format(day.strftime("%Y%m%d"))}
        for n in (1, 2)
        for day in (DAY, NEXT)
    ]


def test_rows_are_of_the_day_on_which_their_file_was_modified(drop: Drop) -> None:
    file = drop.put("latest.csv", "id\n1\n")
    at = dt.datetime(2026, 1, 5, 23, 59, tzinfo=dt.UTC).timestamp()
    os.utime(file, (at, at))
    spec = drop.spec("latest.csv", BY_NAME, ITS_DAY, date="modified")
    loaded = drop.load(spec, DAY, NEXT)
    assert sales("id", "day") == [{"id": 1, "day": DAY}]
    assert isinstance(loaded.failed[NEXT], FilesMissing)


def test_a_row_of_another_day_than_its_file_is_counted_and_loads_nowhere(drop: Drop) -> None:
    drop.put("s_2026-01-05.csv", "id,at\n1,2026-01-05T10:00:00Z\n2,2026-01-06T10:00:00Z\n")
    drop.put("s_2026-01-06.csv", "id,at\n3,2026-01-06T10:00:00Z\n")
    for first, last in ((DAY, NEXT), (DAY, DAY), (NEXT, NEXT)):
        loaded = drop.load(drop.spec("s_{date}.csv"), first, last)
        assert not loaded.failed
        assert sales("id") == [1, 3] if last == NEXT else [1]
        assert sum(each.rows_outside_window for each in loaded.partitions) == (first == DAY)


def test_a_table_without_days_holds_all_files(drop: Drop) -> None:
    drop.put("part1.csv", "id,name\n1,a\n")
    drop.put("part2.csv", "id,name\n2,b\n")
    whole: dict[str, Any] = {"load": "whole", "event_time": None}
    spec = drop.spec("part*.csv", {"id": {"type": "int"}, "name": {"type": "string"}}, whole)
    from millpond.ingestion.load import load

    assert not load(spec, spec.tables[0], None, ref="main", run_id="test").failed
    assert sales("id", "name") == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def test_files_that_differ_in_their_columns_are_joined_by_name(drop: Drop) -> None:
    drop.put("a.csv", "at,id\n2026-01-05T10:00:00Z,1\n")
    drop.put("b.csv", "id,more,at\n2,x,2026-01-05T10:00:00Z\n")
    assert not drop.load(drop.spec("*.csv")).failed
    assert sales("id", "more") == [{"id": 1, "more": None}, {"id": 2, "more": "x"}]


def test_cells_of_a_sheet_are_whole_numbers_dates_and_texts(drop: Drop) -> None:
    with xlsxwriter.Workbook(drop.folder / "book.xlsx", {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        book.add_worksheet("Notes").write_row(0, 0, ["nothing"])
        sheet = book.add_worksheet("Sales")
        sheet.write_row(0, 0, ["id", "at", "amount", "note", "paid"])
        sheet.write_row(1, 0, [1, dt.datetime(2026, 1, 5, 10), 1.5])
        sheet.write_string(1, 3, "1.10")
        sheet.write_boolean(1, 4, True)
        sheet.write_row(3, 0, [2, dt.datetime(2026, 1, 5, 11), 2, None, False])
    columns = {**COLUMNS, "paid": {"type": "bool"}}
    assert not drop.load(drop.spec("*.xlsx", columns, sheet="Sales")).failed
    assert [(row["id"], row["note"], row["paid"]) for row in sales()] == [(1, "1.10", True), (2, None, False)]
    assert sales("at")[0] == dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC)
    error = drop.load(drop.spec("*.xlsx", columns, sheet="Sold")).failed[DAY]
    assert "has no sheet 'Sold', but 'Notes', 'Sales'" in str(error)
