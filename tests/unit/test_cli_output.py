"""Rows leave the command line exactly, for people and for machines."""

import csv
import datetime as dt
import decimal
import io
import json

import pytest

from millpond.cli import output
from millpond.cli.demo_report import draw_glucose_day

COLUMNS = ("day", "name", "value")
ROWS = [
    (dt.date(2026, 11, 1), 'a "quoted", name 🩸', decimal.Decimal("1.5")),
    (dt.date(2026, 11, 2), None, 2),
]


def test_json_keeps_types_and_null(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows_as_json(COLUMNS, ROWS)
    assert json.loads(capsys.readouterr().out) == [
        {"day": "2026-11-01", "name": 'a "quoted", name 🩸', "value": 1.5},
        {"day": "2026-11-02", "name": None, "value": 2},
    ]


def test_csv_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows_as_csv(COLUMNS, ROWS)
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read == [list(COLUMNS), ["2026-11-01", 'a "quoted", name 🩸', "1.5"], ["2026-11-02", "", "2"]]


def test_a_table_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows_as_table(("x",), [("[bold]not markup[/bold]",)])
    assert "[bold]not markup[/bold]" in capsys.readouterr().out


@pytest.mark.parametrize("width", [30, 80, 200])
def test_an_error_wraps_between_words_and_never_within_a_command(width: int) -> None:
    command = "`millpond materialize dlt_x --partition 2026-11-01`"
    address = "https://example.org/" + "a" * 90
    text = f"a day of gold.readings was not loaded, as {address} 拒否 refused\n  Next: wait; {command}."
    wrapped = output.wrap_error(text, width)
    assert wrapped.split() == text.split()
    assert command in wrapped
    long = {line for line in wrapped.splitlines() if len(line) > width}
    assert all(line.strip() in (address, f"{command}.") for line in long)
    assert (output.wrap_error(text, 400), output.wrap_error("", 80)) == (text, "")
    pointed = "LINE 1: select a from b where " + "c " * 60 + "\n                  ^"
    assert output.wrap_error(pointed, width) == pointed


LONG = (
    ("name", "days", "since", "address", "rows", "why"),
    [
        (
            "fct_a_model_with_a_rather_long_name_of_its_own",
            "2026-11-01...2026-11-30",
            dt.datetime(2026, 11, 25, 10, 0, 1, tzinfo=dt.UTC),
            "postgresql://millpond_read:0123456789abcdefghijklmnopqrstuvwxyz_-ABCDEF@127.0.0.1:43210/marts",
            1_234_567,
            "its code changed, and something that it is made from changed on the day before",
        )
    ]
    * 2,
)
SHORT = (("name", "since", "why"), [("mrt_climate_overview", "2026-11-25 10:00:01", "because " * 20)])


@pytest.mark.parametrize("width", [84, 88, 92])
@pytest.mark.parametrize("assets", ["dlt_x_items, stg_x_items, fct_x_items", "dlt_climate_entries, " * 9])
def test_no_frame_is_cut_where_several_columns_break(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, assets: str
) -> None:
    """A column gets the room of its longest word, whatever another would like to have."""
    monkeypatch.setattr(output, "get_terminal_width", lambda: width)
    why = "forced: its code changed, and the_inputs_of_it changed"
    rows = [(assets, "2026-11-01...2026-11-30", "fresh", why, "yes"), (assets, "30 days", "stale", "", "")]
    output.print_rows_as_table(("assets", "days", "state", "why", "run"), rows)
    framed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert framed
    assert all(line.endswith("│") and len(line) <= width for line in framed)


@pytest.mark.parametrize("width", [20, 40, 80, 140, None])
@pytest.mark.parametrize(("columns", "rows"), [LONG, SHORT])
def test_no_date_name_or_address_is_broken_at_any_width(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int | None,
    columns: tuple[str, ...],
    rows: list[tuple[object, ...]],
) -> None:
    monkeypatch.setattr(output, "get_terminal_width", lambda: width)
    output.print_rows_as_table(columns, rows, title="A title")
    out = capsys.readouterr().out
    for value in rows[0][:-1]:
        assert output.format_cell(value).plain in out
    for column in columns:
        assert column in out
    for word in str(rows[0][-1]).split():
        assert word in out
    framed = [line for line in out.splitlines() if "│" in line]
    assert bool(framed) == (width is None or (columns == SHORT[0] and width >= 80))
    assert all(len(line) <= (width or 10_000) for line in framed)
    whole = [output.format_cell(value).plain for value in rows[0][:-1]]
    prose = [line for line in out.splitlines() if not any(value in line for value in whole)]
    narrow = max(map(len, columns)) + 2 + 16  # a label, and room enough for a few words
    assert all(len(line) <= max(width or 10_000, narrow) for line in prose)


def test_the_picture_of_a_day_has_a_dot_per_twenty_minutes_and_leaves_gaps_open() -> None:
    readings = [(hour + minute / 60, 120.0) for hour in range(12) for minute in range(0, 60, 5)]
    picture = draw_glucose_day(dt.date(2026, 11, 1), readings).plain
    assert picture.count("●") == 36
    assert "2026-11-01" in picture


def test_extreme_readings_stay_inside_the_picture() -> None:
    assert draw_glucose_day(dt.date(2026, 11, 1), [(0.0, 1.0), (23.99, 999.0)]).plain.count("●") == 2


@pytest.mark.parametrize(
    ("width", "omitted"),
    [(None, []), (140, []), (62, ["snapshots"]), (50, ["snapshots", "files"]), (30, ["snapshots", "files"])],
)
def test_a_table_in_a_narrow_terminal_leaves_columns_out_before_it_takes_more_lines(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int | None,
    omitted: list[str],
) -> None:
    monkeypatch.setattr(output, "get_terminal_width", lambda: width)
    columns = ("table", "rows", "files", "snapshots")
    rows = [("gold.fct_daily_glucose_metrics", 12_345_678, 9, 80)] * 3
    assert output.print_fitting_table(columns, rows, ("snapshots", "files")) == omitted
    lines = capsys.readouterr().out.splitlines()
    if width != 30:  # where not even what is left fits, each value has a line
        assert len([line for line in lines if "gold." in line]) == 3
        assert len(lines) == 7
    assert "12345678" in "".join(lines)
