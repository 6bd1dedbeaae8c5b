"""Which days a listing without dates shows whole: only those that began after its oldest row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from zoneinfo import ZoneInfo

from millpond.errors import BeyondReach
from millpond.ingestion.client import Listing
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window, contiguous, instant


def beyond_reach(
    table: SourceTable, window: Window, listing: Listing, zone: ZoneInfo
) -> dict[dt.date, BeyondReach]:
    """Return an error for each day of `window` that the source may no longer list whole.

    A day is whole if a row from before it was listed. It is whole too if the listing ended before its limit
    of rows (so there are no more) and the day began within its limit of days.
    """
    reach = table.window.reach
    assert reach
    size = table.page.size if table.page else reach.rows
    ended_early = listing.pages * size < reach.rows or listing.rows == 0
    limit = dt.datetime.now(dt.UTC) - dt.timedelta(days=reach.days)
    out = []
    for day in window.days:
        start = instant(day, zone)
        passed = listing.oldest is not None and listing.oldest < int(start.timestamp()) * 1_000_000
        if not passed and not (ended_early and start >= limit):
            out.append(day)
    error = _error(table, out, listing, ended_early, zone) if out else None
    return {day: error for day in out if error}


def unproven_days(table: SourceTable, window: Window, listing: Listing, zone: ZoneInfo) -> frozenset[dt.date]:
    """Return the days of which only the declared reach says that they are whole: no older row was listed.

    They may be empty, or be served no more: what is loaded of them must not become less.
    """
    if table.window.reach is None:
        return frozenset()
    starts = {day: int(instant(day, zone).timestamp()) * 1_000_000 for day in window.days}
    return frozenset(
        day for day, start in starts.items() if listing.oldest is None or listing.oldest >= start
    )


def kept_as_loaded(table: SourceTable, days: Collection[dt.date]) -> BeyondReach:
    """Return why unproven days with fewer rows than are loaded stay as they are."""
    assert table.window.reach
    return BeyondReach(
        f"{table.asset}, {', '.join(map(str, contiguous(days)))}: beyond the source's reach, which"
        " lists fewer rows than are loaded and none from before",
        unharmed="what was loaded for these days while they were within reach",
        next_step="leave such days out; they cannot be loaded any more",
    )


def _error(
    table: SourceTable, days: list[dt.date], listing: Listing, ended_early: bool, zone: ZoneInfo
) -> BeyondReach:
    assert table.window.reach
    back_to = f"no further back than {table.window.reach.days} days"
    if not ended_early:
        oldest = dt.datetime.fromtimestamp((listing.oldest or 0) / 1_000_000, zone)
        back_to = f"its newest {listing.rows} rows, the oldest of {oldest:%Y-%m-%d %H:%M} ({zone.key})"
    shown = ", ".join(map(str, contiguous(days)))
    return BeyondReach(
        f"{table.asset}, {shown}: beyond the source's reach, which lists {back_to}",
        unharmed="what was loaded for these days while they were within reach",
        next_step="leave such days out; they cannot be loaded any more",
    )
