"""The raw rows that both engines build every model from.

They are days of the demo source as they are loaded, and made-up days with all that is hard: summer time, new
year, broken rows, nulls, empty texts, foreign letters, days without rows.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import example_rows
from example_rows import entry, event, finger_stick, meal

from millpond.ingestion.load import load
from millpond.ingestion.reading import find_table, load_sources
from millpond.partitions import Window, latest_complete_day
from millpond.settings import settings
from raw_rows import Row

REAL_DAYS = 35
MADE_UP = [
    Window(dt.date(2025, 12, 24), dt.date(2026, 1, 8)),  # ISO week 1 begins in the old year
    Window(dt.date(2026, 3, 25), dt.date(2026, 4, 3)),  # a day of 23 hours in Berlin
]
_EDGES = dt.date(2026, 2, 3)


def load_real() -> Window:
    """Load the newest days of the demo source into `main`; returns their window."""
    last = latest_complete_day(settings().zone)
    window = Window.of_days(last - dt.timedelta(REAL_DAYS - 1), last)
    for name in ("glucose_entries", "github_user_events", "diary_entries", "meter_readings"):
        source, index = find_table(load_sources(settings()), name)
        done = load(source, source.tables[index], window, ref="main", run_id="parity")
        assert done.partitions, done.failed
    return window


def load_made_up(real: Window) -> Window:
    """Add the made-up days to `main`; returns the window from the first of them to the last of `real`."""
    for seed, window in enumerate(MADE_UP):
        entries = example_rows.random_entries(window, seed)
        meals = example_rows.random_meals(window, seed, entries)
        example_rows.load(window, entries, example_rows.random_events(window, seed), *meals)
    example_rows.load(Window.of_day(_EDGES), _edge_entries(), _edge_events(), *_edge_meals())
    return Window(MADE_UP[0].start, real.end)


def _edge_entries() -> list[Row]:
    noon = dt.datetime.combine(_EDGES, dt.time(12), dt.UTC)
    rows: list[Row] = [
        entry(f"value {value}", noon + dt.timedelta(minutes=5 * number), value)
        for number, value in enumerate([None, *example_rows.VALUES])
    ]
    odd: list[dict[str, Any]] = [
        {"device": None},
        {"device": ""},
        {"device": " "},
        {"device": "Gerät"},
        {"device": "Gera\u0308t"},
        {"device": "😀"},
        {"direction": ""},
        {"direction": "sideways"},
        {"direction": "flat"},
        {"type": None},
        {"type": ""},
        {"type": "SGV"},
        {"type": "mbg"},
        {"date": -1},
        {"date": 0},
        {"date": 1},
        {"trend": -(2**40), "utc_offset": -720},
    ]
    for number, more in enumerate(odd):
        for minute in (0, 3):
            at = noon + dt.timedelta(hours=3, minutes=10 * number + minute)
            rows.append(entry(f"odd {number} {minute}", at, 100 + number) | more)
    rows.append(entry("wrong day", noon + dt.timedelta(days=2), 100, _partition_date=_EDGES))
    for number in (0, 1):
        rows.append(entry("twice", noon + dt.timedelta(hours=8, minutes=10 * number), 90 + number))
    rows.append(entry("", noon + dt.timedelta(hours=9), 92))
    return rows


def _edge_events() -> list[Row]:
    noon = dt.datetime.combine(_EDGES, dt.time(12), dt.UTC)
    kinds = [*example_rows.KINDS, "PullRequest", "Issue", "issue", "pushevent", "Push_Event", "", None, "%"]
    rows: list[Row] = []
    for number, kind in enumerate(kinds):
        at = noon + dt.timedelta(microseconds=number * 333_333_333)
        rows.append(event(f"kind {number}", at, kind))  # type: ignore[arg-type]
    for number, name in enumerate([None, "", "A/a", "a/a ", "ä/漢", "a/😀"]):
        rows.append(event(f"name {number}", noon, "PushEvent", name))  # type: ignore[arg-type]
    rows[0] |= {"payload": '{"a": "ä\\u0000 \'\\""}', "public": None, "actor_id": 2**62, "actor_login": ""}
    return rows


def _edge_meals() -> tuple[list[Row], list[Row]]:
    noon = dt.datetime.combine(_EDGES, dt.time(12), dt.UTC)
    odd: list[dict[str, Any]] = [
        *({"carbs_g": 0}, {"carbs_g": None}, {"carbs_g": 2**40}, {"insulin_units": -0.5}),
        *({"meal": None}, {"meal": ""}, {"meal": "Müsli 😀"}, {"updated_at": -1}, {"recorded_at": 0}),
    ]
    meals = [
        meal(number, noon + dt.timedelta(milliseconds=333_333 * number), **more)
        for number, more in enumerate(odd)
    ]
    meals += [meal(100, noon + dt.timedelta(hours=4)), meal(101, noon + dt.timedelta(hours=5))]
    sticks = [
        finger_stick(f"value {value}", noon + dt.timedelta(seconds=444 * number, microseconds=500), value)
        for number, value in enumerate(example_rows.VALUES)
    ]
    sticks += [finger_stick(key, noon, 100, marker=key, meter=None) for key in ("", "twice", "twice", "ä/漢")]
    return meals, sticks
