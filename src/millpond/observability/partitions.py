"""The days of daily assets: which are there, missing, failed or out of reach, with their rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dagster import DagsterInstance

from millpond.backfill.history import read_step_failures, read_steps
from millpond.instance.record import connection, database_key
from millpond.observability.assets import Asset
from millpond.observability.events import (
    MATERIALIZED,
    PLANNED,
    SKIPPED,
    find_first_days,
    find_newest_of_days,
    read_materializations,
    read_times,
    read_wipes,
)
from millpond.runs.progress import ROWS

_LONG_AGO: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


class DayState(StrEnum):
    """What became of a day; the worst that holds is shown."""

    FAILED = "failed"
    MISSING = "missing"
    BEFORE = "before the first load"
    UNREACHABLE = "unreachable"
    QUARANTINED = "quarantined"
    THERE = "there"


@dataclass(frozen=True)
class AssetDay:
    """A day of an asset: rows and quarantined rows as last written, when and by which run.

    `error` says why the last attempt failed, which began at `since`; what was there before still stands.
    `reasons` counts the quarantined rows by reason. Times are in UTC.
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
    instance: DagsterInstance, assets: Sequence[Asset], days: Collection[dt.date]
) -> list[AssetDay]:
    """Return each of `days` of each daily asset, on main."""
    daily = {database_key(each.name): each.name for each in assets if each.daily}
    if not daily or not days:
        return []
    with connection(instance) as conn:
        first, wiped = find_first_days(conn, daily), read_wipes(conn, daily)
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
    for key, name in daily.items():
        since = wiped.get(key, _LONG_AGO)
        for day in sorted(days):
            write, attempt = writes.get(made.get((key, day), 0)), newer.get((key, day), 0)
            found.append(
                _build_day(
                    name,
                    day,
                    write if write and write[1] > since else None,
                    errors.get(steps[attempt]) if attempt and tried[attempt] > since else None,
                    tried.get(attempt),
                    skipped=skipped.get((key, day), 0) > made.get((key, day), 0),
                    before=key not in first or day < first[key] or key in wiped,
                )
            )
    return found


def _build_day(
    asset: str,
    day: dt.date,
    write: tuple[str, dt.datetime, dict[str, Any]] | None,
    failure: dict[str, Any] | None,
    tried: dt.datetime | None,
    *,
    skipped: bool,
    before: bool,
) -> AssetDay:
    run, at, told = write or ("", None, {})
    quarantined = int(told.get("rows_quarantined") or 0)
    if skipped:
        state = DayState.UNREACHABLE
    elif failure is not None:
        state = DayState.FAILED
    elif at is None:
        state = DayState.BEFORE if before else DayState.MISSING
    else:
        state = DayState.QUARANTINED if quarantined else DayState.THERE
    reasons = told.get("quarantine_reasons")
    return AssetDay(
        asset,
        day,
        state,
        rows=next((int(told[name]) for name in ROWS if isinstance(told.get(name), int | float)), None),
        quarantined=quarantined,
        seconds=told.get("seconds"),
        at=at,
        run=run,
        error=str(failure.get("error", "see its run")) if failure is not None else "",
        since=tried if failure is not None else None,
        reasons=reasons if isinstance(reasons, dict) else {},
    )
