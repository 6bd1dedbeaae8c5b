"""Is a day's volume usual? Its rows against the median of the days before it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from statistics import median

from millpond.ingestion.expectations import Volume
from millpond.quality.verdict import Verdict, shortened


def volume(days: Sequence[dt.date], rows: Mapping[dt.date, int], bounds: Volume) -> Verdict:
    """Judge complete `days` by `rows`, which hold each day with rows back to `bounds.history_days` before.

    Days without rows are no history. A day with too little of it is not judged, which the summary says.
    """
    unusual, judged = [], []
    for day in days:
        before = (day - dt.timedelta(days=n) for n in range(1, bounds.history_days + 1))
        history = [rows[d] for d in before if rows.get(d)]
        if len(history) < bounds.min_days:
            continue
        usual, found = median(history), rows.get(day, 0)
        low, high = bounds.at_least * usual, bounds.at_most and bounds.at_most * usual
        judged.append({"partition": day, "rows": found, "median": usual, "at_least": low, "at_most": high})
        if found < low or (high is not None and found > high):
            unusual.append(judged[-1])
    last = judged[-1] if judged else {}
    numbers = {
        "days_judged": len(judged),
        "days_without_history": len(days) - len(judged),
        "days_unusual": len(unusual),
        "at_least_share": bounds.at_least,
        "at_most_share": bounds.at_most,
        "history_days": bounds.history_days,
        **{f"last_{name}": _plain(value) for name, value in last.items()},
    }
    return Verdict(not unusual, _summary(judged, unusual, len(days), bounds), numbers, shortened(unusual))


def _summary(
    judged: Sequence[object], unusual: Sequence[Mapping[str, object]], days: int, bounds: Volume
) -> str:
    most = "" if bounds.at_most is None else f" to {bounds.at_most:g}"
    threshold = f"{bounds.at_least:g}{most} times the median of the {bounds.history_days} days before"
    if unusual:
        worst = unusual[-1]
        return (
            f"{len(unusual)} of {len(judged)} days lie outside {threshold}; last {worst['partition']}:"
            f" {worst['rows']} rows, median {worst['median']:g}"
        )
    if judged:
        return f"{len(judged)} of {days} days lie within {threshold}"
    return f"not judged: fewer than {bounds.min_days} days with rows among the {bounds.history_days} before"


def _plain(value: object) -> int | float | str | None:
    return value if isinstance(value, int | float | None) else str(value)
