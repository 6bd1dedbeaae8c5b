"""The one answer: is everything all right, since when not, and whose move is it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dagster import DagsterInstance

from millpond.alerts.days import format_days
from millpond.alerts.outbox import AlertLine, count_alerts, list_alerts
from millpond.observability.assets import Asset
from millpond.observability.checks import CheckState, read_check_states
from millpond.observability.freshness import Age, Freshness, read_freshness
from millpond.observability.partitions import AssetDay, DayState, read_days
from millpond.observability.runs import RunSummary, compare_runs

Trouble = Literal["failed", "missing", "late", "check", "alert"]
_WORST_FIRST: Final = ("failed", "check", "late", "missing", "alert")
_CHECKED_WITHIN: Final = dt.timedelta(days=7)


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be: of which asset, since when (UTC), whose move, what to do."""

    kind: Trouble
    asset: str
    what: str
    since: dt.datetime | None
    owners: tuple[str, ...]
    next_step: str


@dataclass(frozen=True)
class AssetStatus:
    """One asset on one line: the worst that holds, its last materialization, rows of the latest day."""

    asset: Asset
    state: str
    last: dt.datetime | None
    rows: int | None


@dataclass(frozen=True)
class Health:
    """What the first page shows. `runs` are those of the range, `before` of an equally long one before it.

    `rows_latest` are the rows of raw tables of the newest day that has any, `quarantined` those of the range.
    `alerts` are the newest of the `open_alerts`.
    """

    problems: tuple[Problem, ...]
    statuses: tuple[AssetStatus, ...]
    runs: RunSummary
    before: RunSummary
    rows_latest: int
    quarantined: int
    alerts: tuple[AlertLine, ...]
    open_alerts: int

    @property
    def since(self) -> dt.datetime | None:
        """Since when not everything is all right; None if it is, or if nobody knows."""
        return min((each.since for each in self.problems if each.since), default=None)


def read_health(
    instance: DagsterInstance,
    assets: Sequence[Asset],
    first: dt.date,
    last: dt.date,
    now: dt.datetime,
    zone: dt.tzinfo,
) -> Health:
    """Return the health of `assets` over the days from `first` to `last`."""
    since, until = (dt.datetime.combine(day, dt.time(), zone) for day in (first, last + dt.timedelta(days=1)))
    asked = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    days = read_days(instance, assets, asked, now)
    today = now.astimezone(zone).date()
    ages = read_freshness(instance, assets, now)
    checks = read_check_states(instance, assets, now - _CHECKED_WITHIN)
    alerts = list_alerts()
    owners = {each.name: each.owners for each in assets}
    problems = _find_in_days(days, today, owners)
    late = {each.asset for each in problems if each.kind == "late"}
    problems += _find_late([each for each in ages if each.asset not in late], owners)
    problems += _find_in_checks(checks, owners)
    told = {(each.asset, each.kind) for each in problems}
    problems += _find_in_alerts(alerts, {asset for asset, _ in told}, owners)
    runs, before = compare_runs(instance, since, until)
    raw = {each.name for each in assets if each.layer == "raw"}
    newest = max((each.day for each in days if each.asset in raw and each.rows is not None), default=None)
    return Health(
        tuple(problems),
        tuple(_describe_assets(assets, days, ages, problems)),
        runs,
        before,
        rows_latest=sum(each.rows or 0 for each in days if each.asset in raw and each.day == newest),
        quarantined=sum(each.quarantined for each in days if each.asset in raw),
        alerts=tuple(alerts),
        open_alerts=count_alerts(since).opened,
    )


def _find_in_days(
    days: Iterable[AssetDay], today: dt.date, owners: dict[str, tuple[str, ...]]
) -> list[Problem]:
    by_kind: defaultdict[tuple[str, Trouble], list[AssetDay]] = defaultdict(list)
    for each in days:
        if each.state == DayState.FAILED:
            by_kind[each.asset, "failed"].append(each)
        elif each.state == DayState.LATE:
            by_kind[each.asset, "late"].append(each)
        elif each.state == DayState.MISSING and each.day < today:
            by_kind[each.asset, "missing"].append(each)
    found = []
    for (asset, kind), of_days in by_kind.items():
        span = format_days(str(each.day) for each in of_days)
        errors = list(dict.fromkeys(each.error for each in of_days if each.error))
        what = f"{span} failed: {errors[0]}" if kind == "failed" and errors else f"{span} {kind}"
        first, last = min(each.day for each in of_days), max(each.day for each in of_days)
        step = f"`millpond backfill {asset} --range {first}...{last}`"
        since = min((each.since for each in of_days if each.since), default=None)
        found.append(Problem(kind, asset, what, since, owners[asset], step))
    return found


def _find_late(ages: Iterable[Freshness], owners: dict[str, tuple[str, ...]]) -> list[Problem]:
    return [
        Problem(
            "late",
            each.asset,
            f"last materialized {each.last:%d %b %H:%M} UTC, later than its limit",
            each.late_since,
            owners[each.asset],
            f"`millpond materialize {each.asset}`, or `millpond status` to see whether automation runs",
        )
        for each in ages
        if each.state == Age.LATE
    ]


def _find_in_checks(checks: Iterable[CheckState], owners: dict[str, tuple[str, ...]]) -> list[Problem]:
    return [
        Problem(
            "check",
            each.asset,
            f"{'blocking ' if each.blocking else ''}check {each.check} fails",
            each.at,
            owners[each.asset],
            "see its failing rows under Data quality",
        )
        for each in checks
        if not each.passed
    ]


def _find_in_alerts(
    alerts: Iterable[AlertLine], known: set[str], owners: dict[str, tuple[str, ...]]
) -> list[Problem]:
    """Return the open alerts about assets that are shown, or about none, that nothing else tells of."""
    found = []
    for line in alerts:
        about = [asset for asset in line.alert.assets if asset in owners]
        if (line.alert.assets and not about) or (about and set(about) <= known):
            continue
        alert = line.alert
        found.append(
            Problem("alert", ", ".join(about), alert.title, alert.created_at, alert.owners, alert.next_step)
        )
    return found


def _describe_assets(
    assets: Sequence[Asset], days: Iterable[AssetDay], ages: Iterable[Freshness], problems: Sequence[Problem]
) -> list[AssetStatus]:
    age_of = {each.asset: each for each in ages}
    newest: dict[str, AssetDay] = {}
    for each in days:
        if each.rows is not None:
            newest[each.asset] = each
    found = []
    for asset in assets:
        own = {each.kind for each in problems if each.asset == asset.name}
        kinds = [kind for kind in _WORST_FIRST if kind in own]
        age = age_of[asset.name]
        state = kinds[0] if kinds else "never" if age.state == Age.NEVER else "fine"
        latest = newest.get(asset.name)
        found.append(AssetStatus(asset, state, age.last, latest.rows if latest else None))
    return found
