"""Is the newest day there that should be?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Set as AbstractSet
from zoneinfo import ZoneInfo

from millpond.naming import MAIN_REF
from millpond.partitions import Window, instant
from millpond.quality.verdict import Verdict


def expected_day(now: dt.datetime, within: dt.timedelta, zone: ZoneInfo) -> dt.date:
    """Return the newest day in `zone` that ended at least `within` before `now`."""
    day = (now - within).astimezone(zone).date()
    while instant(day + dt.timedelta(days=1), zone) > now - within:
        day -= dt.timedelta(days=1)
    return day


def latest(
    expected: dt.date, first: dt.date, materialized: AbstractSet[dt.date], unjudged: str | None = None
) -> Verdict:
    """Judge whether the `expected` day is among the `materialized`; before the `first` day nothing is due.

    `unjudged` says why its absence is nothing to complain about.
    """
    newest = max(materialized, default=None)
    numbers = {"expected": str(expected), "newest": str(newest) if newest else None}
    if expected < first:
        return Verdict(True, f"no day is due before {first}", numbers)
    if expected in materialized:
        return Verdict(True, f"{expected}, the latest complete day, is loaded", numbers)
    if unjudged:
        return Verdict(True, f"not judged: {unjudged}", numbers)
    return Verdict(
        False,
        f"{expected}, the latest complete day, is not loaded; the newest is {newest or 'none'}",
        numbers,
    )


def unjudged(expected: dt.date, window: Window, ref: str) -> str | None:
    """Return why a run over `window` on `ref` does not have to bring the `expected` day; None if it does."""
    if ref != MAIN_REF:
        return f"{ref} is a branch; only {MAIN_REF} is kept up to date"
    if window.last < expected:
        return f"the run was for days up to {window.last}"
    return None
