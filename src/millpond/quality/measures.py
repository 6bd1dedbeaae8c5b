"""Computes the checks: reconciliation, volume, latest day, coverage; with numbers and samples."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from millpond.errors import TableNotFound
from millpond.ingestion.expectations import Volume
from millpond.naming import MAIN_REF, PARTITION_COLUMN, agree, pluralize
from millpond.partitions import Window, instant

SAMPLES = 20
"""Rows that a result shows at most."""

Number = int | float | str | None
Sample = Mapping[str, object]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check on one table; `numbers` hold counts and thresholds."""

    passed: bool
    summary: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    samples: Sequence[Sample] = ()


def limit_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that a result shows."""
    return list(samples[:SAMPLES])


if TYPE_CHECKING:
    from millpond.lake.refs import Pin


def count_rows_per_day(ref: str | Pin, table: str, window: Window) -> dict[dt.date, int]:
    """Return the rows of each day of `window` that has any; empty if there is no table yet."""
    import pyarrow.compute as pc

    from millpond.lake import read  # slow to import

    try:
        days = read.scan(ref, table, columns=[PARTITION_COLUMN], window=window)[PARTITION_COLUMN]
    except TableNotFound:
        return {}
    return {found["values"].as_py(): found["counts"].as_py() for found in pc.value_counts(days)}


def count_rows(ref: str | Pin, table: str) -> int:
    """Return the rows of `table`; 0 if there is no table yet."""
    from millpond.lake import read  # slow to import

    return read.count(ref, table) if read.exists(ref, table) else 0


def compare_row_counts(reported: Mapping[Any, int], there: Mapping[Any, int]) -> CheckResult:
    """Check that the lake has as many rows as the newest load left there, by day or of the whole table."""
    wrong = [
        {"partition": str(part), "rows_reported": rows, "rows_in_raw": there[part]}
        for part, rows in sorted(reported.items(), key=str)
        if there[part] != rows
    ]
    numbers = {"rows_reported": sum(reported.values()), "rows_in_raw": sum(there[part] for part in reported)}
    summary = f"the lake has the {pluralize(numbers['rows_reported'], 'row')} loaded"
    if wrong:
        summary = (
            f"the lake has {pluralize(numbers['rows_in_raw'], 'row')}, the newest loads left"
            f" {numbers['rows_reported']}; first {wrong[0]['partition']}"
        )
    return CheckResult(not wrong, summary, numbers, limit_samples(wrong))


@dataclass(frozen=True)
class Loaded:
    """What the newest load of a day reported."""

    rows_in_source: int
    rows_loaded: int
    rows_quarantined: int
    duplicates_dropped: int
    rows_outside_window: int
    rows_discarded: int = 0

    @property
    def unaccounted(self) -> int:
        """Rows of the source that are missing from the other counts; negative if those are larger."""
        of_them = self.rows_loaded + self.rows_quarantined + self.rows_discarded
        return self.rows_in_source - (of_them + self.duplicates_dropped + self.rows_outside_window)


def reconcile(
    window: Window,
    loads: Mapping[dt.date, Loaded],
    raw_rows: Mapping[dt.date, int],
    quarantined_rows: Mapping[dt.date, int],
) -> CheckResult:
    """Check the days of `window` that were loaded; the others are counted as `days_not_loaded`.

    A day passes if source = loaded + quarantined + duplicates + out of range + discarded, and if the lake
    has as many raw and quarantined rows of it.
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
    rows, checked = totals["rows_in_source"], pluralize(len(loads), "day")
    summary = f"{pluralize(rows, 'row')} of the source {agree(rows, 'are')} accounted for on {checked}"
    if wrong:
        first = wrong[0]
        summary = (
            f"{len(wrong)} of {checked} {agree(len(wrong), 'do')} not add up; first {first['partition']}: of"
            f" {first['rows_in_source']} rows {first['unaccounted']} are unaccounted for;"
            f" {first['rows_loaded']} were loaded, raw holds {first['rows_in_raw']};"
            f" {first['rows_quarantined']} were quarantined, quarantine holds {first['rows_in_quarantine']}"
        )
    return CheckResult(not wrong, summary, numbers, limit_samples(wrong))


def check_volume(days: Sequence[dt.date], rows: Mapping[dt.date, int], bounds: Volume) -> CheckResult:
    """Compare complete `days` with the days before them; `rows` are those of each day that has any.

    Days without rows do not count as history. A day with too little history is skipped.
    """
    unusual, checked = [], []
    for day in days:
        before = (day - dt.timedelta(days=n) for n in range(1, bounds.history_days + 1))
        history = [rows[d] for d in before if rows.get(d)]
        if len(history) < bounds.min_days:
            continue
        usual, found = median(history), rows.get(day, 0)
        low, high = bounds.at_least * usual, bounds.at_most and bounds.at_most * usual
        checked.append({"partition": day, "rows": found, "median": usual, "at_least": low, "at_most": high})
        if found < low or (high is not None and found > high):
            unusual.append(checked[-1])
    last = checked[-1] if checked else {}
    numbers = {
        "days_judged": len(checked),
        "days_without_history": len(days) - len(checked),
        "days_unusual": len(unusual),
        "at_least_share": bounds.at_least,
        "at_most_share": bounds.at_most,
        "history_days": bounds.history_days,
        **{f"last_{name}": _to_metadata_value(value) for name, value in last.items()},
    }
    return CheckResult(
        not unusual, _summarize_volume(checked, unusual, len(days), bounds), numbers, limit_samples(unusual)
    )


def _summarize_volume(
    checked: Sequence[object], unusual: Sequence[Mapping[str, Any]], days: int, bounds: Volume
) -> str:
    most = "" if bounds.at_most is None else f" to {bounds.at_most:g}"
    threshold = (
        f"{bounds.at_least:g}{most} times the median of the {pluralize(bounds.history_days, 'day')} before"
    )
    if unusual:
        worst = unusual[-1]
        return (
            f"{len(unusual)} of {pluralize(len(checked), 'day')} {agree(len(unusual), 'are')} outside"
            f" {threshold}; last {worst['partition']}:"
            f" {pluralize(worst['rows'], 'row')}, median {worst['median']:g}"
        )
    if checked:
        return f"{len(checked)} of {pluralize(days, 'day')} {agree(len(checked), 'are')} within {threshold}"
    enough = pluralize(bounds.min_days, "day")
    return f"skipped: fewer than {enough} with rows among the {bounds.history_days} before"


def _to_metadata_value(value: object) -> int | float | str | None:
    return value if isinstance(value, int | float | None) else str(value)


def find_expected_day(now: dt.datetime, within: dt.timedelta, zone: ZoneInfo) -> dt.date:
    """Return the newest day in `zone` that ended at least `within` before `now`."""
    day = (now - within).astimezone(zone).date()
    while instant(day + dt.timedelta(days=1), zone) > now - within:
        day -= dt.timedelta(days=1)
    return day


def check_latest(
    expected: dt.date, first: dt.date, materialized: AbstractSet[dt.date], explanation: str | None = None
) -> CheckResult:
    """Check that the `expected` day is among the `materialized`; no day before `first` is expected.

    With an `explanation` its absence passes.
    """
    newest = max(materialized, default=None)
    numbers = {"expected": str(expected), "newest": str(newest) if newest else None}
    if expected < first:
        return CheckResult(True, f"no day is expected before {first}", numbers)
    if expected in materialized:
        return CheckResult(True, f"{expected}, the latest complete day, is loaded", numbers)
    if explanation:
        return CheckResult(True, f"skipped: {explanation}", numbers)
    return CheckResult(
        False,
        f"{expected}, the latest complete day, is not loaded; the newest is {newest or 'none'}",
        numbers,
    )


def explain_absence(expected: dt.date, window: Window, ref: str) -> str | None:
    """Return why a run over `window` on `ref` need not load the `expected` day; None if it must."""
    if ref != MAIN_REF:
        return f"{ref} is a branch; only {MAIN_REF} is kept up to date"
    if window.last < expected:
        return f"the run was for days up to {window.last}"
    return None


def measure_coverage(days: Sequence[dt.date], rows: Mapping[dt.date, int], rows_per_day: int) -> CheckResult:
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
    summary = f"{total} rows, {mean} % of {rows_per_day} a day" if days else "no complete day yet"
    return CheckResult(True, summary, numbers, limit_samples(worst))
