"""What the demo shows on any date and in any time zone: nothing in it depends on the day it runs."""

import asyncio
import datetime as dt
import json
import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from starlette.applications import Starlette
from starlette.types import Message

from millpond.partitions import Window, latest_complete_day
from millpond.runtime.demo_source import DEMO_USER, activity, app, glucose
from millpond.runtime.demo_source.replay import Replay

LONGEST_DEMO = 90
GITHUB_LISTS = 300
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12")
_CHANCE = random.Random(20261127)
DATES = (
    *(dt.datetime(2027, 2, 1 + day, 9, tzinfo=dt.UTC) for day in range(7)),  # each weekday
    *(dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (3, 5, 7, 12)),  # after the end of a month
    dt.datetime(2026, 11, 27, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2028, 2, 29, 12, tzinfo=dt.UTC),
    dt.datetime(2028, 3, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC),  # the clock is put forward and back, in Berlin and New York
    dt.datetime(2026, 10, 25, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 8, 7, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 1, 6, tzinfo=dt.UTC),
    *(
        dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=_CHANCE.randrange(10 * 365 * 86400))
        for _ in range(40)
    ),
)


@lru_cache(1)
def events() -> Replay:
    return activity.recording()[0]


@lru_cache(1)
def entries() -> tuple[Replay, list[tuple[str, str]]]:
    replay, rows = glucose.recording()
    return replay, [(row.kind, row.key) for row in rows]


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def span(day: dt.date, zone: ZoneInfo) -> tuple[int, int]:
    start, end = Window.of_day(day).bounds(zone)
    return ms(start), ms(end)


def each_day(days: int) -> Iterator[tuple[dt.date, ZoneInfo]]:
    for zone in map(ZoneInfo, ZONES):
        for number in range(days):
            yield dt.date(2025, 12, 1) + dt.timedelta(number), zone


def test_each_day_of_the_recording_has_events_in_every_time_zone() -> None:
    empty = [
        f"{day} {zone}"
        for day, zone in each_day(103 * 7)
        if next(events().newest_first(*span(day, zone)), None) is None
    ]
    assert empty == []


def test_each_day_of_the_recording_has_readings_and_most_have_a_broken_row() -> None:
    replay, rows = entries()
    found = [
        ({rows[index] for index, _ in replay.newest_first(*span(day, zone))}, day, zone)
        for day, zone in each_day(28 * 7)
    ]
    assert [(day, zone) for kinds, day, zone in found if ("sgv", "reading") not in kinds] == []
    broken = [("sgv", "broken") in kinds for kinds, _, _ in found]
    assert all(any(broken[i : i + 3]) for i in range(len(broken) - 2))


@pytest.mark.parametrize("moment", DATES, ids=lambda moment: f"{moment:%Y-%m-%dT%H:%M}")
def test_what_github_lists_reaches_back_further_than_the_longest_demo(moment: dt.datetime) -> None:
    now = ms(moment)
    listed = list(events().newest_first(now - activity.LISTED_DAYS * 86_400_000, now + 1))
    assert len(listed) < GITHUB_LISTS
    oldest = listed[-1][1]
    with time_machine.travel(moment, tick=False):
        for zone in map(ZoneInfo, ZONES):
            first = latest_complete_day(zone) - dt.timedelta(LONGEST_DEMO - 1)
            assert oldest < span(first, zone)[0], zone


def test_the_source_answers_for_the_moment_it_is_asked_at() -> None:
    source = app.build_app()
    for moment in DATES:
        with time_machine.travel(moment, tick=False):
            reading = ask(source, "/api/v1/entries.json", "count=1")[0]
            event = ask(source, f"/users/{DEMO_USER}/events", "")[0]
        happened = dt.datetime.fromisoformat(event["created_at"])
        assert moment - dt.timedelta(hours=22) <= happened <= moment
        assert ms(moment) - 22 * 3_600_000 <= reading["date"] <= ms(moment)


def ask(source: Starlette, path: str, query: str) -> Any:
    """Return the JSON that `source` answers with."""
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    asyncio.run(source({**scope, "server": ("127.0.0.1", 80), "scheme": "http"}, receive, send))
    return json.loads(b"".join(parts))


def test_a_recording_is_the_same_in_each_process() -> None:
    assert activity.recording()[0].offsets.tolist() == events().offsets.tolist()
    assert activity.recording()[1] == activity.recording()[1]
