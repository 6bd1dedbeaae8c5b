"""How much of a day is there: reported, not judged, since gaps belong to the data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from millpond.quality.verdict import Verdict, shortened


def coverage(days: Sequence[dt.date], rows: Mapping[dt.date, int], rows_per_day: int) -> Verdict:
    """Report the rows of `days` as a share of `rows_per_day`; the samples are the days with the least."""
    shares = {day: round(100 * rows.get(day, 0) / rows_per_day, 1) for day in days}
    total = sum(rows.get(day, 0) for day in days)
    mean = round(100 * total / (rows_per_day * len(days)), 1) if days else None
    least = sorted(days, key=lambda day: (shares[day], day))
    numbers = {
        "rows": total,
        "rows_per_day": rows_per_day,
        "days": len(days),
        "coverage_pct": mean,
        "lowest_coverage_pct": min(shares.values(), default=None),
        "days_without_rows": sum(not rows.get(day) for day in days),
    }
    worst = [{"partition": day, "rows": rows.get(day, 0), "coverage_pct": shares[day]} for day in least]
    summary = f"{total} rows, {mean} % of {rows_per_day} a day" if days else "no complete day to look at"
    return Verdict(True, summary, numbers, shortened(worst))
