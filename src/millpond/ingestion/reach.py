"""Which days a listing without dates shows whole: only those that began after its oldest row."""

from __future__ import annotations

import datetime as dt
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
