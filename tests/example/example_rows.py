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
_ENTRY_TABLE = TableSpec("raw.glucose_entries", _ENTRIES, "_partition_date", ("_id",), "month")
_EVENT_TABLE = TableSpec("raw.github_user_events", _EVENTS, "_partition_date", ("id",), "month")

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


def load(window: Window, entries: Iterable[Row] = (), events: Iterable[Row] = (), ref: str = "main") -> None:
    """Make the window of both raw tables hold exactly these rows."""
    write_rows(window, (_ENTRY_TABLE, entries), (_EVENT_TABLE, events), ref=ref)


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
