"""Which days a listing without dates shows whole: only those that began after its oldest row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from zoneinfo import ZoneInfo

from millpond.errors import BeyondReach, MillpondError
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window, contiguous, instant


def beyond_reach(
    table: SourceTable, window: Window, listing: Listing, zone: ZoneInfo
) -> dict[dt.date, BeyondReach]:
    """Return an error for each day of `window` that the source may no longer list whole.

    A day is whole if enough rows from before it were listed. It may be whole too if the listing ended before
    its limit of rows, on a page that was not full, and the day began within its limit of days.
    """
    reach = table.window.reach
    assert reach
    size = table.page.size if table.page else listing.largest + (listing.pages == 1)
    short = listing.last_rows < max(size, listing.largest) or listing.rows == 0
    ended_early = listing.ended and listing.rows < reach.rows and short
    limit = dt.datetime.now(dt.UTC) - dt.timedelta(days=reach.days)
    out = []
    for day in window.days:
        start = instant(day, zone)
        passed = listing.order.goes_back_before(int(start.timestamp()) * 1_000_000)
        if not passed and not (ended_early and start >= limit):
            out.append(day)
    error = _error(table, out, listing, ended_early, zone) if out else None
    return {day: error for day in out if error}


def unproven_days(table: SourceTable, window: Window, listing: Listing, zone: ZoneInfo) -> frozenset[dt.date]:
    """Return the days of which only the declared reach says they are whole: too few older rows were listed.

    They may be empty, or be served no more: what is loaded of them must not become less.
    """
    if table.window.reach is None:
        return frozenset()
    starts = {day: int(instant(day, zone).timestamp()) * 1_000_000 for day in window.days}
    return frozenset(day for day, start in starts.items() if not listing.order.goes_back_before(start))


def keep_as_loaded(table: SourceTable, days: Collection[dt.date]) -> BeyondReach:
    """Return why unproven days with fewer rows than are loaded stay as they are."""
    assert table.window.reach
    return BeyondReach(
        f"{table.asset}, {', '.join(map(str, contiguous(days)))}: beyond the source's reach, which"
        " lists fewer rows than are loaded and none from before",
        unharmed="what was loaded for these days while they were within reach",
        next_step="leave such days out; they cannot be loaded any more, also not with --accept-shrink",
    )


def note_kept_days(errors: Iterable[MillpondError]) -> None:
    """Say in the errors of days beyond reach that accepting smaller days does not concern them."""
    for error in {error for error in errors if isinstance(error, BeyondReach)}:
        error.what += "; --accept-shrink is not for such days: the rows loaded of them stay"


def _error(
    table: SourceTable, days: list[dt.date], listing: Listing, ended_early: bool, zone: ZoneInfo
) -> BeyondReach:
    assert table.window.reach
    back_to = f"no further back than {table.window.reach.days} days"
    if not ended_early:
        oldest = dt.datetime.fromtimestamp((listing.order.oldest or 0) / 1_000_000, zone)
        back_to = f"its newest {listing.rows} rows, the oldest of {oldest:%Y-%m-%d %H:%M} ({zone.key})"
    shown = ", ".join(map(str, contiguous(days)))
    return BeyondReach(
        f"{table.asset}, {shown}: beyond the source's reach, which lists {back_to}",
        unharmed="what was loaded for these days while they were within reach",
        next_step="leave such days out; they cannot be loaded any more, also not with --accept-shrink",
    )
