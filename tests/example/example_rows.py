"""Raw rows for tests of the example's models, written to the lake as ingestion would write them."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from millpond.lake.tables import TableSpec
from millpond.partitions import Window, instant
from millpond.settings import settings
from raw_rows import AT, LINEAGE, Row, write_rows

_ENTRIES = pa.schema(
    [
        ("_id", pa.string()),
        ("type", pa.string()),
        ("sgv", pa.int64()),
        ("date", pa.int64()),
        ("date_string", pa.string()),
        ("direction", pa.string()),
        ("trend", pa.int64()),
        ("device", pa.string()),
        ("utc_offset", pa.int64()),
        ("sys_time", pa.string()),
        ("noise", pa.int64()),
        ("filtered", pa.float64()),
        ("unfiltered", pa.float64()),
        ("rssi", pa.int64()),
        *LINEAGE,
    ]
)
_EVENTS = pa.schema(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("actor_id", pa.int64()),
        ("actor_login", pa.string()),
        ("repo_id", pa.int64()),
        ("repo_name", pa.string()),
        ("payload", pa.string()),
        ("public", pa.bool_()),
        ("created_at", AT),
        *LINEAGE,
    ]
)
_MEALS = pa.schema(
    [
        ("id", pa.int64()),
        ("recorded_at", pa.int64()),
        ("meal", pa.string()),
        ("carbs_g", pa.int64()),
        ("insulin_units", pa.float64()),
        ("updated_at", pa.int64()),
        *LINEAGE,
    ]
)
_STICKS = pa.schema(
    [
        ("record_id", pa.string()),
        ("measured_at", AT),
        ("glucose_mg_dl", pa.int64()),
        ("marker", pa.string()),
        ("meter", pa.string()),
        *LINEAGE,
    ]
)
_ENTRY_TABLE = TableSpec("raw.glucose_entries", _ENTRIES, "_partition_date", ("_id",), "month")
_EVENT_TABLE = TableSpec("raw.github_user_events", _EVENTS, "_partition_date", ("id",), "month")
_MEAL_TABLE = TableSpec("raw.diary_entries", _MEALS, "_partition_date", ("id",), "month")
_STICK_TABLE = TableSpec("raw.meter_readings", _STICKS, "_partition_date", ("record_id",), "month")

KINDS = [
    "PushEvent",
    "CreateEvent",
    "PullRequestReviewEvent",
    "IssuesEvent",
    "WatchEvent",
    "GollumEvent",
    "PublicEvent",
]
VALUES = [19, 20, 54, 69, 70, 71, 100, 140, 179, 180, 181, 249, 250, 251, 400, 600, 601]


def entry(key: str, at: dt.datetime, sgv: int | None, **more: Any) -> Row:
    """Return an entry at an instant, filed under its day in the configured zone."""
    milliseconds = round(at.timestamp() * 1000)
    day = at.astimezone(settings().zone).date()
    return {
        "_id": key,
        "type": "sgv",
        "sgv": sgv,
        "date": milliseconds,
        "device": "x",
        "_partition_date": day,
    } | more


def event(key: str, at: dt.datetime, kind: str, repository: str = "a/a", **more: Any) -> Row:
    """Return an event at an instant, filed under its day in the configured zone."""
    day = at.astimezone(settings().zone).date()
    return {
        "id": key,
        "type": kind,
        "repo_name": repository,
        "created_at": at,
        "_partition_date": day,
    } | more


def meal(key: int, at: dt.datetime, **more: Any) -> Row:
    """Return a meal at an instant, filed under its day in the configured zone."""
    milliseconds = round(at.timestamp() * 1000)
    day = at.astimezone(settings().zone).date()
    return {
        "id": key,
        "recorded_at": milliseconds,
        "meal": "lunch",
        "carbs_g": 40,
        "updated_at": milliseconds,
        "_partition_date": day,
    } | more


def finger_stick(key: str, at: dt.datetime, glucose: int, **more: Any) -> Row:
    """Return a finger stick at an instant, filed under its day in the configured zone."""
    day = at.astimezone(settings().zone).date()
    return {"record_id": key, "measured_at": at, "glucose_mg_dl": glucose, "_partition_date": day} | more


def load(
    window: Window,
    entries: Iterable[Row] = (),
    events: Iterable[Row] = (),
    meals: Iterable[Row] = (),
    finger_sticks: Iterable[Row] = (),
    ref: str = "main",
) -> None:
    """Make the window of the raw tables hold exactly these rows."""
    of_both = ((_MEAL_TABLE, meals), (_STICK_TABLE, finger_sticks))
    write_rows(window, (_ENTRY_TABLE, entries), (_EVENT_TABLE, events), *of_both, ref=ref)


def random_entries(window: Window, seed: int) -> list[Row]:
    """Return few entries on most days, of several devices, types and extremes, some at the same moment."""
    chance, offsets, rows = random.Random(seed), random.Random(-seed), []
    for day in window.days:
        start, end = instant(day, settings().zone), instant(day + dt.timedelta(days=1), settings().zone)
        for number in range(chance.choice([0, 0, 1, 2, 5, 12])):
            seconds = chance.choice([0, 300, 3600, chance.randrange(int((end - start).total_seconds()))])
            rows.append(
                entry(
                    f"{day}/{number}",
                    start + dt.timedelta(seconds=seconds, milliseconds=chance.choice([0, 0, 250])),
                    chance.choice(VALUES),
                    device=chance.choice(["x", "x", "y", None]),
                    type=chance.choice(["sgv"] * 9 + ["mbg", "cal", None]),
                    direction=chance.choice(["Flat", "SingleUp", None]),
                    utc_offset=offsets.choice([60, 60, 60, 120, None]),
                )
            )
    return rows


def random_events(window: Window, seed: int) -> list[Row]:
    """Return events on some days, from none to more than twenty."""
    chance, ids, rows = random.Random(seed), random.Random(-seed), []
    for day in window.days:
        for number in range(chance.choice([0, 0, 1, 4, 5, 9, 10, 19, 20, 25])):
            at = instant(day, settings().zone) + dt.timedelta(minutes=chance.randrange(22 * 60))
            kind, name = chance.choice(KINDS), chance.choice(["a/a", "a/b", "b/c"])
            rows.append(event(f"{day}/{number}", at, kind, name, repo_id=ids.choice([1, 2, 3, None])))
    return rows


def random_meals(window: Window, seed: int, entries: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Return meals on most days, many of them near one of `entries` or midnight, and finger sticks."""
    chance, meals, sticks = random.Random(seed), list[Row](), list[Row]()
    times = [row["date"] for row in entries]
    for day in window.days:
        start, end = instant(day, settings().zone), instant(day + dt.timedelta(days=1), settings().zone)
        near = [at for at in times if start.timestamp() * 1000 <= at < end.timestamp() * 1000]
        moments = [start + dt.timedelta(seconds=chance.randrange(int((end - start).total_seconds())))]
        moments += [end - dt.timedelta(minutes=chance.choice([1, 60, 120, 121]))]
        for at in near:
            minutes = chance.choice([-121, -120, -60, -1, 0, 0, 10, 30, 31])
            moments.append(dt.datetime.fromtimestamp(at / 1000, dt.UTC) + dt.timedelta(minutes=minutes))
        for number, at in enumerate(sorted(moments)[: chance.choice([0, 1, 3, 9])]):
            if start <= at < end:
                of_meal = {
                    "meal": chance.choice(["breakfast", "dinner", "snack"]),
                    "carbs_g": chance.randrange(0, 100, 5),
                    "insulin_units": chance.choice([None, 0.5, 4.0, 7.5]),
                }
                meals.append(meal(day.toordinal() * 100 + number, at, **of_meal))
                minutes = chance.choice([-31, -30, -5, -5, 5, 30, 31])
                stuck = min(max(at + dt.timedelta(minutes=minutes), start), end - dt.timedelta(seconds=1))
                sticks.append(finger_stick(f"{day}/{number}", stuck, chance.choice(VALUES)))
    return meals, sticks
