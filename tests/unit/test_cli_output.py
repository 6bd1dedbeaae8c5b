"""Rows leave the command line exactly, for people and for machines."""

import csv
import datetime as dt
import decimal
import io
import json

import pytest

from millpond.cli import output
from millpond.cli.picture import glucose_day

COLUMNS = ("day", "name", "value")
ROWS = [
    (dt.date(2026, 11, 1), 'a "quoted", name 🩸', decimal.Decimal("1.5")),
    (dt.date(2026, 11, 2), None, 2),
]


def test_json_keeps_types_and_null(capsys: pytest.CaptureFixture[str]) -> None:
    output.rows_as_json(COLUMNS, ROWS)
    assert json.loads(capsys.readouterr().out) == [
        {"day": "2026-11-01", "name": 'a "quoted", name 🩸', "value": 1.5},
        {"day": "2026-11-02", "name": None, "value": 2},
    ]


def test_csv_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    output.rows_as_csv(COLUMNS, ROWS)
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read == [list(COLUMNS), ["2026-11-01", 'a "quoted", name 🩸', "1.5"], ["2026-11-02", "", "2"]]


def test_a_table_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.rows_as_table(("x",), [("[bold]not markup[/bold]",)])
    assert "[bold]not markup[/bold]" in capsys.readouterr().out


def test_the_picture_of_a_day_has_a_dot_per_twenty_minutes_and_leaves_gaps_open() -> None:
    readings = [(hour + minute / 60, 120.0) for hour in range(12) for minute in range(0, 60, 5)]
    picture = glucose_day(dt.date(2026, 11, 1), readings).plain
    assert picture.count("●") == 36
    assert "2026-11-01" in picture


def test_extreme_readings_stay_inside_the_picture() -> None:
    assert glucose_day(dt.date(2026, 11, 1), [(0.0, 1.0), (23.99, 999.0)]).plain.count("●") == 2
