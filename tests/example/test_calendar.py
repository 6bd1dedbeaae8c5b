from __future__ import annotations

import calendar
import datetime as dt
from pathlib import Path

import duckdb

from millpond.partitions import Window
from millpond.settings import settings
from millpond.transform.invocation import invoke
from millpond.transform.manifest import ParsedProject


def test_the_calendar_agrees_with_python_on_every_day(parsed: ParsedProject, unit_database: Path) -> None:
    compiled = invoke(
        ["compile", "--select", "dim_date", "--no-write-json"],
        settings=settings(),
        target="unit",
        manifest=parsed.load_manifest(),
        variables={"unit_database": str(unit_database)},
    )
    (result,) = (r for r in compiled.result.results if r.node.name == "dim_date")
    with duckdb.connect() as connection:
        relation = connection.sql(result.node.compiled_code).order("date_day")
        names, rows = relation.columns, relation.fetchall()
    days = Window(dt.date(2000, 1, 1), dt.date(2050, 1, 1)).days
    assert [dict(zip(names, row, strict=True)) for row in rows] == [_expected(day) for day in days]


def _expected(day: dt.date) -> dict[str, object]:
    iso = day.isocalendar()
    return {
        "date_day": day,
        "year": day.year,
        "quarter": (day.month + 2) // 3,
        "month": day.month,
        "month_name": calendar.month_name[day.month],
        "iso_year": iso.year,
        "iso_week": iso.week,
        "day_of_month": day.day,
        "day_of_year": day.timetuple().tm_yday,
        "day_of_week": iso.weekday,
        "day_name": calendar.day_name[day.weekday()],
        "is_weekend": day.weekday() >= 5,
        "is_month_start": day.day == 1,
        "is_month_end": (day + dt.timedelta(days=1)).day == 1,
    }
