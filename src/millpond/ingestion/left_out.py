"""Days that a load leaves out: what a person wiped, and what is older than the retention of its table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from millpond.errors import DayLeftOut, MillpondError
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window, contiguous

_SHOWN = 5


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


def describe(failed: Mapping[dt.date, MillpondError]) -> tuple[str, list[str]]:
    """Return the days of `failed` that were left out, and a sentence for each reason; empty if none was."""
    left = {day: error for day, error in failed.items() if isinstance(error, DayLeftOut)}
    reasons = {error.what.partition(": ")[2]: error.next_step for error in reversed(left.values())}
    sentences = []
    for reason, next_step in reversed(reasons.items()):
        days = _join(day for day, error in left.items() if error.what.endswith(f": {reason}"))
        sentences.append(f"{days} left out: {reason}; {next_step}")
    return _join(left), sentences


def _join(days: Iterable[dt.date]) -> str:
    windows = [*map(str, contiguous(days))]
    more = f" and {len(windows) - _SHOWN} more" if len(windows) > _SHOWN else ""
    return ", ".join(windows[:_SHOWN]) + more
