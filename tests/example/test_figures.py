from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import example_rows
import model_oracle as oracle
import pytest

from millpond.partitions import Window
from millpond.settings import Settings, settings
from raw_rows import Build, Rows

DECIMALS = {"gmi_pct": 2, "gmi_7d_pct": 2}


@pytest.mark.parametrize(
    ("zone", "seed", "days"),
    [
        ("Europe/Berlin", 2, 35),
        pytest.param("Europe/Berlin", 2, 111, marks=pytest.mark.slow),
        pytest.param("UTC", 1, 111, marks=pytest.mark.slow),
    ],
)
def test_every_figure_agrees_with_its_definition(
    build_all: Build,
    table: Callable[..., Rows],
    configure: Callable[..., Settings],
    zone: str,
    seed: int,
    days: int,
) -> None:
    tz = configure(timezone=zone).zone
    last = dt.date(2026, 4, 10)  # after a day of 23 hours in Berlin
    window = Window.of_days(last - dt.timedelta(days - 1), last)
    entries, events = example_rows.random_entries(window, seed), example_rows.random_events(window, seed)
    diary, meter = example_rows.random_meals(window, seed, entries)
    example_rows.load(window, entries, events, diary, meter)
    build_all(window)
    readings = oracle.glucose_readings(entries, tz)
    eaten = oracle.meals(diary, meter, entries, readings, tz, window.last)
    assert len({row["response_date"] - row["meal_date"] for row in eaten.values()}) == 2
    assert sum(row["glucose_rise_mg_dl"] is not None for row in eaten.values()) > days // 5
    _agree(table("silver.fct_meals", "meal_id"), eaten)
    _agree(table("gold.fct_daily_meal_metrics", "response_date"), oracle.daily_meals(eaten))
    _agree(table("gold.mrt_meal_response", "response_date"), oracle.meal_response(eaten, readings))
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


@pytest.mark.slow
def test_an_emptied_day_leaves_no_figure_in_any_layer(build_all: Build, table: Callable[..., Rows]) -> None:
    window = Window(dt.date(2026, 3, 1), dt.date(2026, 3, 7))
    entries, events = example_rows.random_entries(window, 4), example_rows.random_events(window, 4)
    diary, meter = example_rows.random_meals(window, 5, entries)
    example_rows.load(window, entries, events, diary, meter)
    build_all(window)
    emptied = dt.date(2026, 3, 4)
    example_rows.load(Window.of_day(emptied))
    build_all(Window.of_day(emptied))
    left = [row for row in entries if row["_partition_date"] != emptied]
    readings = oracle.glucose_readings(left, settings().zone)
    tz, left_meals, left_sticks = settings().zone, *_without(emptied, diary, meter)
    eaten = oracle.meals(left_meals, left_sticks, left, readings, tz, window.last)
    assert 0 < len(eaten) < len(diary)
    _agree(table("silver.fct_meals", "meal_id"), eaten)
    assert set(table("gold.mrt_meal_response", "response_date")) == set(oracle.daily_meals(eaten))
    found = table("silver.fct_glucose_readings", "entry_id")
    assert {k: r["glucose_change_mg_dl"] for k, r in found.items()} == {
        k: r["glucose_change_mg_dl"] for k, r in readings.items()
    }
    assert set(table("gold.mrt_glucose_readings", "entry_id")) == set(readings)
    assert set(table("gold.fct_daily_glucose_metrics", "reading_date")) == set(oracle.daily_glucose(readings))
    assert set(table("gold.mrt_glucose_overview", "reading_date")) == set(oracle.glucose_overview(readings))
    activity = oracle.github_activity(
        [row for row in events if row["_partition_date"] != emptied], settings().zone
    )
    found = table("gold.mrt_github_activity_overview", "event_date")
    assert {k: r["total_events"] for k, r in found.items()} == {
        k: r["total_events"] for k, r in activity.items()
    }


def _without(day: dt.date, *tables: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[row for row in rows if row["_partition_date"] != day] for rows in tables]


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
