"""A day is complete from the midnight that ends it, in whatever zone and year, and is loaded whole."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
import time_machine

from fake_source import Entries, fake_source, reading
from millpond.partitions import instant, latest_complete_day, today
from millpond.settings import Settings
from source_tables import load_days


@pytest.mark.parametrize(
    ("last", "zone", "hours"),
    [
        pytest.param("2024-02-29", "UTC", 24, marks=pytest.mark.slow),
        ("2024-12-31", "Asia/Kathmandu", 24),
        ("2025-11-02", "America/New_York", 25),
        ("2026-03-29", "Europe/Berlin", 23),
        pytest.param("2026-10-25", "Europe/Berlin", 25, marks=pytest.mark.slow),
    ],
)
def test_a_day_is_complete_once_its_midnight_has_passed_and_loads_whole(
    home: object, configure: Callable[..., Settings], last: str, zone: str, hours: int
) -> None:
    day, there = dt.date.fromisoformat(last), ZoneInfo(zone)
    begin, end = instant(day, there), instant(day + dt.timedelta(days=1), there)
    five = dt.timedelta(minutes=5)
    count = (end - begin) // five
    moments = [begin + n * five for n in range(-12, count + 12)]
    rows = [
        reading(n, date=int(moment.timestamp() * 1000), _id=f"{moment:%Y%m%d%H%M}")
        for n, moment in enumerate(moments)
    ]
    drawn = random.Random(f"{last} {zone}")
    with fake_source() as source:
        source.serve = Entries(rows)
        configure(timezone=zone, greenhouse_url=source.url, start_date=dt.date(2024, 1, 1))
        for seconds in (-2, 0, drawn.randrange(1, 20 * 3600)):
            with time_machine.travel(end + dt.timedelta(seconds=seconds)):
                assert today(there) == day + dt.timedelta(days=seconds >= 0)
                assert latest_complete_day(there) == today(there) - dt.timedelta(days=1)
                (loaded,) = load_days(day).partitions
            assert (loaded.rows_loaded, hours * 12) == (count, count)
