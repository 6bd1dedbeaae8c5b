"""Days that a load leaves out: what a person wiped, and what is older than the retention of its table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from millpond.errors import DayLeftOut, MillpondError
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window


def leave_out(table: SourceTable, day: dt.date, why: str, option: str = "") -> DayLeftOut:
    """Return the reason why a day is not loaded; `option` is that of the command which loads it after all."""
    ask = f"`millpond materialize {table.asset} --partition {day}{option}`"
    return DayLeftOut(
        f"{table.asset}, {day}: {why}",
        unharmed="all other days",
        next_step=f"to load it again: {ask}" if option else "to keep it, set a longer retention in its file",
    )


def choose(window: Window, days: Mapping[dt.date, DayLeftOut]) -> dict[dt.date, MillpondError]:
    """Return the reasons of those of `days` that are in `window`."""
    return {day: days[day] for day in window.days if day in days}
