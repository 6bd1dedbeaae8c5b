from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import model_oracle as oracle
import pytest

import raw_rows
from millpond.partitions import Window
from millpond.settings import Settings
from raw_rows import Build, Rows

DECIMALS = {"gmi_pct": 2, "gmi_7d_pct": 2}


@pytest.mark.parametrize(
    ("zone", "seed"), [pytest.param("UTC", 1, marks=pytest.mark.slow), ("Europe/Berlin", 2)]
)
def test_every_figure_agrees_with_its_definition(
    build_all: Build, table: Callable[..., Rows], configure: Callable[..., Settings], zone: str, seed: int
) -> None:
    tz = configure(timezone=zone).zone
    window = Window(dt.date(2026, 1, 10), dt.date(2026, 4, 30))  # with a day of 23 hours in Berlin
    entries, events = raw_rows.random_entries(window, seed), raw_rows.random_events(window, seed)
    raw_rows.load(window, entries, events)
    build_all(window)
    readings = oracle.glucose_readings(entries, tz)
    _agree(table("silver.fct_glucose_readings", "entry_id"), readings)
    _agree(table("gold.mrt_glucose_readings", "entry_id"), readings)
    _agree(table("gold.fct_daily_glucose_metrics", "reading_date"), oracle.daily_glucose(readings))
    _agree(table("gold.fct_daily_glucose_quality", "reading_date"), oracle.glucose_quality(entries, readings))
    _agree(table("gold.mrt_glucose_overview", "reading_date"), oracle.glucose_overview(readings))
    _agree(
        table("gold.mrt_glucose_hourly_patterns", "hour_of_day", "day_of_week"),
        oracle.hourly_patterns(readings),
    )
    _agree(table("gold.mrt_github_activity_overview", "event_date"), oracle.github_activity(events, tz))
    _agree(table("gold.dim_device", "device", "effective_start"), oracle.devices(entries))
    _agree(table("gold.dim_repository", "repository_id", "effective_start"), oracle.repositories(events))


def _agree(found: Rows, expected: Rows) -> None:
    assert set(found) == set(expected)
    for key, row in expected.items():
        for name, value in row.items():
            assert _same(found[key][name], value, DECIMALS.get(name, 1)), (key, name, found[key][name], value)


def _same(found: Any, value: Any, decimals: int) -> bool:
    """Whether `found` is `value`, rounded where it is a fraction; at a tie either neighbour will do."""
    if value is None or isinstance(value, bool | int | str | dt.date):
        return bool(found == value)
    unit = 10.0**-decimals
    exact_minutes = found == float(value)
    is_rounded = abs(found / unit - round(found / unit)) < 1e-6
    return exact_minutes or (is_rounded and abs(found - float(value)) <= unit / 2 + 1e-9)
