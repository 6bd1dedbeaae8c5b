"""Raw rows for tests of the models, written to the lake as ingestion would write them."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.partitions import Window, instant
from millpond.settings import settings
from millpond.transform.results import BuildResult

Row = dict[str, Any]
Rows = dict[Any, Row]
Build = Callable[..., BuildResult]
AT = pa.timestamp("us", "UTC")
LINEAGE = [("_partition_date", pa.date32()), ("_run_id", pa.string()), ("_loaded_at", AT)]
_ENTRIES = pa.schema(
    [
        ("_id", pa.string()),
        ("type", pa.string()),
        ("lux", pa.int64()),
        ("date", pa.int64()),
        ("direction", pa.string()),
        ("device", pa.string()),
        ("place", pa.string()),
        *LINEAGE,
    ]
)
_EVENTS = pa.schema(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("product_name", pa.string()),
        ("created_at", AT),
        *LINEAGE,
    ]
)
_ENTRY_TABLE = TableSpec("raw.climate_entries", _ENTRIES, "_partition_date", ("_id",), "month")
_EVENT_TABLE = TableSpec("raw.market_events", _EVENTS, "_partition_date", ("id",), "month")


def entry(key: str, at: dt.datetime, lux: int | None, **more: Any) -> Row:
    """Return an entry at an instant, filed under its day in the configured zone."""
    milliseconds = round(at.timestamp() * 1000)
    day = at.astimezone(settings().zone).date()
    return {
        "_id": key,
        "type": "lux",
        "lux": lux,
        "date": milliseconds,
        "device": "x",
        "_partition_date": day,
    } | more


def event(key: str, at: dt.datetime, kind: str = "Sale", product: str = "tomatoes", **more: Any) -> Row:
    """Return an event at an instant, filed under its day in the configured zone."""
    day = at.astimezone(settings().zone).date()
    return {
        "id": key,
        "type": kind,
        "product_name": product,
        "created_at": at,
        "_partition_date": day,
    } | more


def load(window: Window, entries: Iterable[Row] = (), events: Iterable[Row] = (), ref: str = "main") -> None:
    """Make the window of both raw tables hold exactly these rows."""
    write_rows(window, (_ENTRY_TABLE, entries), (_EVENT_TABLE, events), ref=ref)


def write_rows(window: Window, *tables: tuple[TableSpec, Iterable[Row]], ref: str) -> None:
    """Make the window of each table hold exactly its rows."""
    lineage = {"_run_id": "test", "_loaded_at": dt.datetime.now(dt.UTC)}
    replacements = [
        Replacement(table, pa.Table.from_pylist([row | lineage for row in rows], table.schema), window)
        for table, rows in tables
    ]
    replace(replacements, ref=ref, run_id="test")


def random_entries(window: Window, seed: int) -> list[Row]:
    """Return few entries on most days, of several devices, types and values, some at the same moment."""
    chance, rows = random.Random(seed), []
    for day in window.days:
        start, end = instant(day, settings().zone), instant(day + dt.timedelta(days=1), settings().zone)
        for number in range(chance.choice([0, 1, 2, 5, 12])):
            seconds = chance.choice([0, 300, 3600, chance.randrange(int((end - start).total_seconds()))])
            rows.append(
                entry(
                    f"{day}/{number}",
                    start + dt.timedelta(seconds=seconds),
                    chance.choice([19, 20, 69, 70, 100, 140, 180, 181, 600, 601]),
                    device=chance.choice(["x", "x", "y", None]),
                    type=chance.choice(["lux"] * 9 + ["tmp"]),
                    direction=chance.choice(["Flat", "Up", None]),
                    place=chance.choice(["door", "door", "door", "window", None]),
                )
            )
    return rows


def random_events(window: Window, seed: int) -> list[Row]:
    """Return events on some days, from none to more than twenty."""
    chance, rows = random.Random(seed), []
    for day in window.days:
        for number in range(chance.choice([0, 1, 4, 20, 25])):
            at = instant(day, settings().zone) + dt.timedelta(minutes=chance.randrange(22 * 60))
            rows.append(event(f"{day}/{number}", at, product=chance.choice(["tomatoes", "basil", "beans"])))
    return rows
