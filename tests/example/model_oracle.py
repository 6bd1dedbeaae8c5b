"""What every model must hold, computed from raw rows in plain Python, written from the definitions alone."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import defaultdict
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
DAY = dt.timedelta(days=1)
SLOT = 300_000
_QUALITY = (
    *("entry_count", "reading_count", "slot_copy_count"),
    *("no_value_count", "implausible_count", "other_type_count"),
)


def glucose_readings(raw: list[Row], zone: ZoneInfo) -> dict[str, Row]:
    """Return fct_glucose_readings by entry."""
    kept = _one_per_slot(
        [r for r in raw if (r["type"] or "sgv") == "sgv" and r["sgv"] is not None and 20 <= r["sgv"] <= 600],
        zone,
    )
    by_device: dict[Any, list[Row]] = defaultdict(list)
    for row in sorted(kept, key=lambda r: (r["date"], r["_id"])):
        by_device[row["device"]].append(row)
    found = {}
    for rows in by_device.values():
        for previous, row in zip([None, *rows], rows, strict=False):
            near = previous is not None and row["date"] - previous["date"] <= 86_400_000
            local = dt.datetime.fromtimestamp(row["date"] / 1000, zone)
            found[row["_id"]] = {
                "glucose_mg_dl": row["sgv"],
                "reading_date": local.date(),
                "hour_of_day": local.hour,
                "day_of_week": local.isoweekday(),
                "day_name": local.strftime("%A"),
                "glucose_category": _category(row["sgv"]),
                "is_in_range": 70 <= row["sgv"] <= 180,
                "glucose_change_mg_dl": row["sgv"] - previous["sgv"] if near else None,
                "minutes_since_last_reading": (row["date"] - previous["date"]) / 60_000 if near else None,
            }
    return found


def daily_glucose(readings: dict[str, Row]) -> dict[dt.date, Row]:
    """Return fct_daily_glucose_metrics by day, not rounded."""
    return {
        day: {
            "reading_count": len(values),
            "coverage_pct": Fraction(100 * len(values), 288),
            "avg_glucose_mg_dl": Fraction(sum(values), len(values)),
            "min_glucose_mg_dl": min(values),
            "max_glucose_mg_dl": max(values),
            "stddev_glucose_mg_dl": statistics.stdev(values) if len(values) > 1 else None,
            "time_in_range_pct": _share(values, lambda v: 70 <= v <= 180),
            "time_below_range_pct": _share(values, lambda v: v < 70),
            "time_above_range_pct": _share(values, lambda v: v > 180),
            "time_below_54_pct": _share(values, lambda v: v < 54),
            "coefficient_of_variation": 100 * statistics.stdev(values) / statistics.fmean(values)
            if len(values) > 1
            else None,
            "gmi_pct": _gmi(values),
        }
        for day, values in _values_by_day(readings).items()
    }


def glucose_quality(raw: list[Row], readings: dict[str, Row]) -> dict[dt.date, Row]:
    """Return fct_daily_glucose_quality by day."""
    found: dict[dt.date, Row] = {}
    for row in raw:
        counts = found.setdefault(row["_partition_date"], dict.fromkeys(_QUALITY, 0))
        counts["entry_count"] += 1
        if (row["type"] or "sgv") != "sgv":
            counts["other_type_count"] += 1
        elif row["sgv"] is None or row["sgv"] < 20:
            counts["no_value_count"] += 1
        elif row["sgv"] > 600:
            counts["implausible_count"] += 1
        else:
            counts["reading_count" if row["_id"] in readings else "slot_copy_count"] += 1
    return found


def glucose_overview(readings: dict[str, Row]) -> dict[dt.date, Row]:
    """Return mrt_glucose_overview by day, not rounded."""
    by_day, daily = _values_by_day(readings), daily_glucose(readings)
    newest = max(by_day)
    found = {}
    for day in (day for day in by_day if day > newest - 90 * DAY):
        week = [v for back in range(7) for v in by_day.get(day - back * DAY, [])]
        before = daily.get(day - DAY)
        found[day] = daily[day] | {
            "avg_glucose_7d_mg_dl": Fraction(sum(week), len(week)),
            "time_in_range_7d_pct": _share(week, lambda v: 70 <= v <= 180),
            "gmi_7d_pct": _gmi(week),
            "glucose_change_from_prev_day": daily[day]["avg_glucose_mg_dl"] - before["avg_glucose_mg_dl"]
            if before
            else None,
        }
    return found


def hourly_patterns(readings: dict[str, Row]) -> dict[tuple[int, int], Row]:
    """Return mrt_glucose_hourly_patterns by hour and day of the week, not rounded."""
    newest = max(r["reading_date"] for r in readings.values())
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in readings.values():
        if row["reading_date"] > newest - 30 * DAY:
            groups[row["hour_of_day"], row["day_of_week"]].append(row["glucose_mg_dl"])
    return {
        key: {
            "reading_count": len(values),
            "avg_glucose_mg_dl": Fraction(sum(values), len(values)),
            "median_glucose_mg_dl": _percentile(values, Fraction(1, 2)),
            "p25_glucose_mg_dl": _percentile(values, Fraction(1, 4)),
            "p75_glucose_mg_dl": _percentile(values, Fraction(3, 4)),
            "time_in_range_pct": _share(values, lambda v: 70 <= v <= 180),
            "stddev_glucose_mg_dl": statistics.stdev(values) if len(values) > 1 else None,
        }
        for key, values in groups.items()
    }


def github_activity(raw: list[Row], zone: ZoneInfo) -> dict[dt.date, Row]:
    """Return mrt_github_activity_overview by day, means not rounded."""
    by_day: dict[dt.date, list[Row]] = defaultdict(list)
    for row in raw:
        by_day[row["created_at"].astimezone(zone).date()].append(row)
    found: dict[dt.date, Row] = {}
    day, streak = min(by_day), 0
    while day <= max(by_day):
        events = by_day.get(day, [])
        kinds = [_event_category(row["type"]) for row in events]
        streak = streak + 1 if events else 0
        week = [len(by_day.get(day - back * DAY, [])) for back in range(7) if day - back * DAY >= min(by_day)]
        found[day] = {
            "total_events": len(events),
            "code_contributions": kinds.count("code_contribution"),
            "collaborations": kinds.count("collaboration"),
            "social_events": kinds.count("social"),
            "documentation_events": kinds.count("documentation"),
            "other_events": kinds.count("other"),
            "distinct_repositories": len({row["repo_name"] for row in events}),
            "events_7d_avg": Fraction(sum(week), len(week)),
            "events_change_from_prev_day": len(events) - found[day - DAY]["total_events"] if found else None,
            "active_streak_days": streak,
            "activity_level": _level(len(events)),
        }
        day += DAY
    return found


def meals(
    diary: list[Row],
    meter: list[Row],
    raw: list[Row],
    readings: dict[str, Row],
    zone: ZoneInfo,
    last: dt.date,
) -> dict[int, Row]:
    """Return fct_meals by meal, built up to the day `last`; `raw` are the entries that became `readings`."""
    sensor = [(r["date"], r["_id"], r["sgv"]) for r in raw if r["_id"] in readings]
    sticks = [
        (round(r["measured_at"].timestamp() * 1000), r["record_id"], r["glucose_mg_dl"])
        for r in meter
        if 20 <= r["glucose_mg_dl"] <= 600
    ]
    found = {}
    for row in diary:
        eaten = row["recorded_at"]
        ends = dt.datetime.fromtimestamp(eaten / 1000 + 7200, zone)
        before = [r for r in sensor if 0 <= eaten - r[0] <= 30 * 60_000]
        after = [r for r in sensor if 0 < r[0] - eaten <= 120 * 60_000]
        near = [s for s in sticks if abs(s[0] - eaten) <= 30 * 60_000]
        prior = min(before, key=lambda r: (-r[0], r[1]), default=None)
        peak = min(after, key=lambda r: (-r[2], r[0], r[1]), default=None)
        stick = min(near, key=lambda s: (abs(s[0] - eaten), s[1]), default=None)
        if ends.date() <= last:
            found[row["id"]] = {
                "meal": row["meal"],
                "meal_date": row["_partition_date"],
                "response_date": ends.date(),
                "carbs_g": row["carbs_g"],
                "insulin_units": row["insulin_units"],
                "glucose_before_mg_dl": prior and prior[2],
                "peak_glucose_mg_dl": peak and peak[2],
                "glucose_rise_mg_dl": peak[2] - prior[2] if peak and prior else None,
                "minutes_to_peak": (peak[0] - eaten) / 60_000 if peak else None,
                "finger_stick_id": stick and stick[1],
                "finger_stick_mg_dl": stick and stick[2],
                "finger_stick_difference_mg_dl": stick[2] - prior[2] if stick and prior else None,
            }
    return found


def daily_meals(eaten: dict[int, Row]) -> dict[dt.date, Row]:
    """Return fct_daily_meal_metrics by day, not rounded."""
    by_day: dict[dt.date, list[Row]] = defaultdict(list)
    for row in eaten.values():
        by_day[row["response_date"]].append(row)
    found: dict[dt.date, Row] = {}
    for day, rows in by_day.items():
        rises = [r["glucose_rise_mg_dl"] for r in rows if r["glucose_rise_mg_dl"] is not None]
        peaks = [r["peak_glucose_mg_dl"] for r in rows if r["peak_glucose_mg_dl"] is not None]
        apart = [r["finger_stick_difference_mg_dl"] for r in rows]
        apart = [abs(each) for each in apart if each is not None]
        found[day] = {
            "meal_count": len(rows),
            "carbs_g": sum(r["carbs_g"] for r in rows),
            "insulin_units": sum(r["insulin_units"] or 0.0 for r in rows),
            "meals_with_rise": len(rises),
            "glucose_rise_sum_mg_dl": sum(rises),
            "avg_glucose_rise_mg_dl": Fraction(sum(rises), len(rises)) if rises else None,
            "max_peak_glucose_mg_dl": max(peaks, default=None),
            "meals_with_finger_stick": len(apart),
            "avg_finger_stick_difference_mg_dl": Fraction(sum(apart), len(apart)) if apart else None,
        }
    return found


def meal_response(eaten: dict[int, Row], readings: dict[str, Row]) -> dict[dt.date, Row]:
    """Return mrt_meal_response by day, not rounded."""
    daily, glucose = daily_meals(eaten), daily_glucose(readings)
    shown = {"glucose_rise_sum_mg_dl", "meals_with_rise"}
    found = {}
    for day in (day for day in daily if day > max(daily) - 90 * DAY):
        week = [daily[day - back * DAY] for back in range(7) if day - back * DAY in daily]
        rises = sum(each["meals_with_rise"] for each in week)
        found[day] = {name: value for name, value in daily[day].items() if name not in shown} | {
            "avg_glucose_rise_7d_mg_dl": Fraction(sum(d["glucose_rise_sum_mg_dl"] for d in week), rises)
            if rises
            else None,
            "avg_glucose_mg_dl": glucose[day]["avg_glucose_mg_dl"] if day in glucose else None,
            "time_in_range_pct": glucose[day]["time_in_range_pct"] if day in glucose else None,
        }
    return found


def devices(raw: list[Row]) -> dict[tuple[Any, dt.datetime], Row]:
    """Return dim_device by device and effective_start."""
    plausible = [r for r in raw if (r["type"] or "sgv") == "sgv" and 20 <= (r["sgv"] or 0) <= 600]
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    rows = [
        (epoch + dt.timedelta(milliseconds=r["date"]), r["_id"], r["device"], r["utc_offset"])
        for r in plausible
    ]
    return _versions(rows, "utc_offset_minutes", holds=dt.timedelta(hours=6))


def repositories(raw: list[Row]) -> dict[tuple[Any, dt.datetime], Row]:
    """Return dim_repository by repository and effective_start."""
    rows = [(r["created_at"], r["id"], r.get("repo_id"), r["repo_name"]) for r in raw]
    return _versions(rows, "repository_name")


def _versions(
    rows: list[tuple[dt.datetime, str, Any, Any]], attribute: str, holds: dt.timedelta | None = None
) -> dict[tuple[Any, dt.datetime], Row]:
    """Return the values that each key has had in turn, of rows (instant, id, key, value)."""
    values: dict[Any, dict[dt.datetime, Any]] = defaultdict(dict)
    for at, _, key, value in sorted(rows, key=lambda row: row[:2]):
        if value is not None:
            values[key][at] = value
    found = {}
    for key in {row[2] for row in rows} - {None}:
        first = min(at for at, _, of, _ in rows if of == key)
        turns: list[tuple[dt.datetime, Any]] = []
        shown = values[key] if holds is None else _lasting(values[key], holds)
        for at, value in shown.items() or [(first, None)]:
            if not turns or value != turns[-1][1]:
                turns.append((at if turns else first, value))
        for (start, value), end in zip(turns, [*(at for at, _ in turns[1:]), None], strict=True):
            found[key, start] = {attribute: value, "effective_end": end, "is_current": end is None}
    return found


def _lasting(values: dict[dt.datetime, Any], holds: dt.timedelta) -> dict[dt.datetime, Any]:
    """Return the values that no former value outlasts, by when they take over."""
    runs: list[list[Any]] = []
    for value in set(values.values()):
        times = [at for at, of in values.items() if of == value]
        for at in times:
            if runs and runs[-1][0] == value and at - runs[-1][1][-1] <= holds:
                runs[-1][1].append(at)
            else:
                runs.append([value, [at]])
    found: dict[dt.datetime, Any] = {}
    until = dt.datetime.min.replace(tzinfo=dt.UTC)
    for value, times in sorted(runs, key=lambda run: run[1][0]):
        if times[0] > until or times[-1] > until + holds:
            found[min(at for at in times if at > until)] = value
        until = max(until, times[-1])
    return dict(sorted(found.items()))


def _one_per_slot(rows: list[Row], zone: ZoneInfo) -> list[Row]:
    """Return the first entry of each slot of its day's grid, and those 225 s or more after another."""
    rows = sorted(rows, key=lambda r: (r["date"], r["_id"]))
    days = [dt.datetime.fromtimestamp(r["date"] / 1000, zone).date() for r in rows]
    grids = {
        day: _slots_begin_at([r["date"] for r, d in zip(rows, days, strict=True) if d == day])
        for day in set(days)
    }
    kept: list[Row] = []
    for previous, row, day in zip([None, *rows], rows, days, strict=False):
        slots = [(r["date"] - grids[day]) // SLOT for r in (previous, row) if r]
        if previous is None or slots[0] < slots[1] or row["date"] - previous["date"] >= 225_000:
            kept.append(row)
    return kept


def _slots_begin_at(times: list[int]) -> Fraction:
    """Return a begin of slots for the entries of one day: the middle of a gap between their positions."""
    positions = sorted({t % SLOT for t in times})
    gaps = [((b - a) % SLOT or SLOT, b) for a, b in zip([positions[-1], *positions], positions, strict=False)]
    wide = [gap for gap in gaps if gap[0] >= 75_000]
    first = times[0] % SLOT
    length, end = (
        min(wide, key=lambda gap: (first - gap[1]) % SLOT)
        if wide
        else max(gaps, key=lambda gap: (gap[0], -gap[1]))
    )
    return end - Fraction(length, 2)


def _category(value: int) -> str:
    if value < 54:
        return "hypoglycemia_level_2"
    if value < 70:
        return "hypoglycemia"
    if value <= 180:
        return "in_range"
    return "hyperglycemia_mild" if value <= 250 else "hyperglycemia_severe"


def _event_category(kind: str) -> str:
    if kind in {"PushEvent", "CreateEvent", "DeleteEvent"}:
        return "code_contribution"
    if kind.startswith(("PullRequest", "Issue")):
        return "collaboration"
    if kind in {"WatchEvent", "ForkEvent", "ReleaseEvent"}:
        return "social"
    return "documentation" if kind in {"GollumEvent", "CommitCommentEvent"} else "other"


def _level(events: int) -> str:
    limits = {20: "very_active", 10: "active", 5: "moderate", 1: "light", 0: "inactive"}
    return next(level for limit, level in limits.items() if events >= limit)


def _values_by_day(readings: dict[str, Row]) -> dict[dt.date, list[int]]:
    by_day: dict[dt.date, list[int]] = defaultdict(list)
    for row in readings.values():
        by_day[row["reading_date"]].append(row["glucose_mg_dl"])
    return by_day


def _share(values: list[int], holds: Any) -> Fraction:
    return Fraction(100 * sum(1 for v in values if holds(v)), len(values))


def _gmi(values: list[int]) -> Fraction:
    return Fraction("3.31") + Fraction("0.02392") * Fraction(sum(values), len(values))


def _percentile(values: list[int], fraction: Fraction) -> Fraction:
    ordered, position = sorted(values), fraction * (len(values) - 1)
    below = position.numerator // position.denominator
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
