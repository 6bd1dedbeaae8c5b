"""No row lost, none twice: what a source served against what became of it and what the lake holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from millpond.partitions import Window
from millpond.quality.verdict import Verdict, shortened


@dataclass(frozen=True)
class Loaded:
    """What the newest load of a day reported."""

    rows_in_source: int
    rows_loaded: int
    rows_quarantined: int
    duplicates_dropped: int
    rows_outside_window: int

    @property
    def unaccounted(self) -> int:
        """Rows that the source served and of which nothing is known; negative if more became of them."""
        return self.rows_in_source - (
            self.rows_loaded + self.rows_quarantined + self.duplicates_dropped + self.rows_outside_window
        )


def reconciled(
    window: Window,
    loads: Mapping[dt.date, Loaded],
    raw_rows: Mapping[dt.date, int],
    quarantined_rows: Mapping[dt.date, int],
) -> Verdict:
    """Judge the days of `window` that were loaded; the others are counted as `days_not_loaded`.

    A day passes if source = loaded + quarantined + duplicates + outside, and if the lake holds as many raw
    and quarantined rows of it.
    """
    wrong = []
    for day, load in sorted(loads.items()):
        found = {"rows_in_raw": raw_rows.get(day, 0), "rows_in_quarantine": quarantined_rows.get(day, 0)}
        if load.unaccounted or list(found.values()) != [load.rows_loaded, load.rows_quarantined]:
            wrong.append({"partition": day, **vars(load), "unaccounted": load.unaccounted, **found})
    totals = {name: sum(getattr(load, name) for load in loads.values()) for name in Loaded.__annotations__}
    numbers = {
        "days_checked": len(loads),
        "days_not_loaded": len(window) - len(loads),
        "days_wrong": len(wrong),
        **totals,
        "rows_in_raw": sum(raw_rows.get(day, 0) for day in loads),
        "rows_in_quarantine": sum(quarantined_rows.get(day, 0) for day in loads),
    }
    summary = f"{totals['rows_in_source']} rows of the source are accounted for on {len(loads)} days"
    if wrong:
        first = wrong[0]
        summary = (
            f"{len(wrong)} of {len(loads)} days do not add up; first {first['partition']}: of"
            f" {first['rows_in_source']} rows {first['unaccounted']} are unaccounted for;"
            f" {first['rows_loaded']} were loaded, raw holds {first['rows_in_raw']};"
            f" {first['rows_quarantined']} were quarantined, quarantine holds {first['rows_in_quarantine']}"
        )
    return Verdict(not wrong, summary, numbers, shortened(wrong))
