"""The days of daily assets: which are there, late, missing, failed or out of reach, with their rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dagster import DagsterInstance

from millpond.backfill.history import read_step_failures, read_steps
from millpond.instance.record import EXPIRED, WIPED, connection, database_key
from millpond.observability.assets import Asset
from millpond.observability.events import (
    MATERIALIZED,
    PLANNED,
    SKIPPED,
    find_newest_of_days,
    find_number,
    find_outer_days,
    read_materializations,
    read_times,
    read_wipes,
)
from millpond.observability.sensitive import hide_text
from millpond.partitions import instant
from millpond.runs.progress import ROWS
from millpond.settings import settings

_LONG_AGO: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


class DayState(StrEnum):
    """What became of a day; the worst that holds is shown.

    A day is late if the limit of the asset's freshness policy has passed since its end, and neither it nor a
    later one is there, or it was written before its end only. Other days that are not there are missing.
    """

    FAILED = "failed"
    MISSING = "missing"
    LATE = "late"
    BEFORE = "before the first load"
    UNREACHABLE = "unreachable"
    QUARANTINED = "quarantined"
    THERE = "there"


@dataclass(frozen=True)
class AssetDay:
    """A day of an asset: rows and quarantined rows as last written, when and by which run.

    `error` says why the last attempt failed, which began at `since`; what was there before still stands. A
    late day was due at `since`. `reasons` counts the quarantined rows by reason. Times are in UTC.
    """

    asset: str
    day: dt.date
    state: DayState
    rows: int | None = None
    quarantined: int = 0
    seconds: float | None = None
    at: dt.datetime | None = None
    run: str = ""
    error: str = ""
    since: dt.datetime | None = None
    reasons: dict[str, int] = field(default_factory=dict)


def read_days(
    instance: DagsterInstance,
    assets: Sequence[Asset],
    days: Collection[dt.date],
    now: dt.datetime | None = None,
) -> list[AssetDay]:
    """Return each of `days` of each daily asset, on main; `now` decides what is late, None is the present."""
    daily = {database_key(each.name): each for each in assets if each.daily}
    now, zone = now or dt.datetime.now(dt.UTC), settings().zone
    if not daily or not days:
        return []
    with connection(instance) as conn:
        first, last = find_outer_days(conn, daily)
        wiped = read_wipes(conn, daily)
        made = find_newest_of_days(conn, MATERIALIZED, daily, days)
        skipped = find_newest_of_days(conn, SKIPPED, daily, days)
        planned = find_newest_of_days(conn, PLANNED, daily, days)
        newer = {of: number for of, number in planned.items() if number > made.get(of, 0)}
        steps = read_steps(conn, [*newer.values()])
        errors = read_step_failures(conn, {run for run, _ in steps.values()})
        tried = read_times(conn, [*newer.values()])
        events = read_materializations(conn, [*made.values()])
        writes = {number: (run, at, told) for number, run, at, _, told in events}
    found = []
    for key, asset in daily.items():
        since = wiped.get(key, _LONG_AGO)
        for day in sorted(days):
            write, attempt = writes.get(made.get((key, day), 0)), newer.get((key, day), 0)
            write = write if write and write[1] > since else None
            end = instant(day + dt.timedelta(days=1), zone)
            due = end + asset.fail if asset.fail else None
            awaited = write[1] < end if write else day > last.get(key, day)
            found.append(
                _build_day(
                    asset,
                    day,
                    write,
                    errors.get(steps[attempt]) if attempt and tried[attempt] > since else None,
                    tried.get(attempt),
                    skipped=skipped.get((key, day), 0) > made.get((key, day), 0),
                    before=key not in first or day < first[key] or key in wiped,
                    late_since=due if due and due < now and awaited else None,
                )
            )
    return found


def _build_day(
    asset: Asset,
    day: dt.date,
    write: tuple[str, dt.datetime, dict[str, Any]] | None,
    failure: dict[str, Any] | None,
    tried: dt.datetime | None,
    *,
    skipped: bool,
    before: bool,
    late_since: dt.datetime | None,
) -> AssetDay:
    run, at, told = write or ("", None, {})
    rows, quarantined = find_number(told, *ROWS), int(find_number(told, "rows_quarantined") or 0)
    if skipped or told.keys() & {WIPED, EXPIRED}:
        state = DayState.UNREACHABLE
    elif failure is not None:
        state = DayState.FAILED
    elif at is None and before:
        state = DayState.BEFORE
    elif late_since is not None:
        state = DayState.LATE
    elif at is None:
        state = DayState.MISSING
    else:
        state = DayState.QUARANTINED if quarantined else DayState.THERE
    secret = [asset.name] if asset.sensitive else []
    return AssetDay(
        asset.name,
        day,
        state,
        rows=int(rows) if rows is not None else None,
        quarantined=quarantined,
        seconds=find_number(told, "seconds"),
        at=at,
        run=run,
        error=hide_text(str(failure.get("error", "see its run")), secret) if failure is not None else "",
        since=tried if failure is not None else late_since,
        reasons=_read_reasons(told.get("quarantine_reasons")),
    )


def _read_reasons(told: Any) -> dict[str, int]:
    reasons = told if isinstance(told, dict) else {}
    numbers = {str(reason): find_number(reasons, reason) for reason in reasons}
    return {reason: int(number) for reason, number in numbers.items() if number is not None}
