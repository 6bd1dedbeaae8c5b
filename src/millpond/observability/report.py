"""The report of a day: every asset, the marts' rows, checks, quarantine, durations and open alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dagster import DagsterInstance

from millpond.errors import PartitionKeyError
from millpond.instance.record import connection, database_key
from millpond.naming import pluralize
from millpond.observability.assets import Asset
from millpond.observability.checks import CheckState, PassRate, read_check_states, read_pass_rates
from millpond.observability.durations import read_durations
from millpond.observability.events import (
    MATERIALIZED,
    find_newest_of_assets,
    find_number,
    find_outer_days,
    read_materializations,
)
from millpond.observability.freshness import Age, read_freshness
from millpond.observability.health import Health, Problem, read_health
from millpond.observability.partitions import AssetDay, DayState, read_days
from millpond.observability.report_marts import MartRows, read_mart_rows
from millpond.observability.sensitive import hide_reasons
from millpond.partitions import UNASKED
from millpond.publish.spec import MartSpec
from millpond.runs.progress import ROWS

RATES_OVER: Final = dt.timedelta(days=30)
_FINE: Final = (DayState.THERE, DayState.QUARANTINED, DayState.UNREACHABLE, DayState.BEFORE)


@dataclass(frozen=True)
class AssetLine:
    """What became of an asset: of the day if it is `daily`, else of its latest materialization.

    `share` is its duration as a share of the longest one, `slow` whether it took unusually long.
    """

    asset: str
    layer: str
    daily: bool
    state: str
    good: bool
    rows: int | None = None
    quarantined: int = 0
    seconds: float | None = None
    at: dt.datetime | None = None
    error: str = ""
    share: float = 0.0
    slow: bool = False


@dataclass(frozen=True)
class QuarantineLine:
    """How many rows of an asset are in quarantine for a reason."""

    asset: str
    reason: str
    rows: int


@dataclass(frozen=True)
class AlertFacts:
    """An open alert, and the channels that took it."""

    id: int
    title: str
    severity: str
    since: dt.datetime | None
    notified: tuple[str, ...]
    next_step: str


@dataclass(frozen=True)
class Report:
    """All that the page shows; `verdict` is the answer in one sentence. Times are in `zone`."""

    day: dt.date
    made: dt.datetime
    zone: dt.tzinfo
    good: bool
    verdict: str
    problems: tuple[Problem, ...]
    assets: tuple[AssetLine, ...]
    marts: tuple[MartRows, ...]
    checks: tuple[CheckState, ...]
    rates: tuple[PassRate, ...]
    quarantine: tuple[QuarantineLine, ...]
    alerts: tuple[AlertFacts, ...]


def read_report(
    instance: DagsterInstance,
    assets: Sequence[Asset],
    marts: Sequence[MartSpec],
    sensitive: Mapping[str, frozenset[str]],
    day: dt.date,
    now: dt.datetime,
    zone: dt.tzinfo,
) -> Report:
    """Return the report of `day` on main, as of `now`; `sensitive` are hidden columns by asset key.

    Raises PartitionKeyError for a day before the first of every asset.
    """
    _refuse_empty_day(instance, assets, day)
    days = read_days(instance, assets, [day], now)
    health = read_health(instance, assets, day, day, now, zone)
    since = now - RATES_OVER
    checks = read_check_states(instance, assets, since, sensitive)
    return Report(
        day=day,
        made=now.astimezone(zone),
        zone=zone,
        good=not health.problems,
        verdict=compose_verdict(health, len(assets), zone),
        problems=health.problems,
        assets=tuple(_list_assets(instance, assets, days, now)),
        marts=tuple(read_mart_rows(marts, day, sensitive)),
        checks=tuple(each for each in checks if not each.passed),
        rates=tuple(each for each in read_pass_rates(instance, assets, since) if each.failed),
        quarantine=tuple(
            QuarantineLine(each.asset, reason, rows)
            for each in days
            for reason, rows in hide_reasons(each.reasons, sensitive.get(each.asset, frozenset())).items()
        ),
        alerts=tuple(
            AlertFacts(
                each.alert.id,
                each.alert.title,
                each.alert.severity,
                each.alert.created_at and each.alert.created_at.astimezone(zone),
                each.notified,
                each.alert.next_step,
            )
            for each in health.alerts
        ),
    )


def compose_verdict(health: Health, assets: int, zone: dt.tzinfo) -> str:
    """Return in one sentence whether everything is all right, else since when not and whose move it is."""
    if not health.problems:
        return f"Everything is all right: none of {pluralize(assets, 'asset')} has a problem."
    number = len(health.problems)
    since = f" since {health.since.astimezone(zone):%Y-%m-%d %H:%M}" if health.since else ""
    owners = dict.fromkeys(owner for each in health.problems for owner in each.owners)
    unowned = "" if all(each.owners for each in health.problems) else "whoever runs Millpond"
    move = ", ".join(filter(None, [*owners, unowned]))
    what = f"{number} problem{'s'[: number > 1]}"
    return f"Not everything is all right{since}: {what}; the next move is by {move}."


def _refuse_empty_day(instance: DagsterInstance, assets: Sequence[Asset], day: dt.date) -> None:
    with connection(instance) as conn:
        first, _ = find_outer_days(conn, [database_key(each.name) for each in assets if each.daily])
    if first and day >= min(first.values()):
        return
    if first:
        raise PartitionKeyError(
            f"no asset has {day}: the first day that was ever materialized is {min(first.values())}",
            unharmed=UNASKED,
            next_step=f"`millpond report --partition={min(first.values())}`, or load the day: "
            f'`millpond materialize "*" --partition {day}`',
        )
    raise PartitionKeyError(
        "nothing was materialized in this home yet, so there is nothing to report",
        unharmed=UNASKED,
        next_step=f'`millpond demo`, or `millpond materialize "*" --partition {day}`',
    )


def _list_assets(
    instance: DagsterInstance, assets: Sequence[Asset], days: Sequence[AssetDay], now: dt.datetime
) -> list[AssetLine]:
    layers, whole = {each.name: each for each in assets}, [each for each in assets if not each.daily]
    slow = {
        (each.asset, each.run) for each in read_durations(instance, assets, now - RATES_OVER) if each.outlier
    }
    found = [
        (
            each.run,
            AssetLine(
                *(each.asset, layers[each.asset].layer, True, str(each.state), each.state in _FINE),
                *(each.rows, each.quarantined, each.seconds, each.at, each.error),
            ),
        )
        for each in days
    ]
    found += _list_whole(instance, whole, now)
    longest = max((line.seconds or 0.0 for _, line in found), default=0.0) or 1.0
    order = list(layers)
    lines = [
        replace(line, share=(line.seconds or 0.0) / longest, slow=(line.asset, run) in slow)
        for run, line in found
    ]
    return sorted(lines, key=lambda each: order.index(each.asset))


def _list_whole(
    instance: DagsterInstance, assets: Sequence[Asset], now: dt.datetime
) -> list[tuple[str, AssetLine]]:
    """Return runs and lines of assets without partitions."""
    keys = {database_key(each.name): each.name for each in assets}
    with connection(instance) as conn:
        newest = find_newest_of_assets(conn, MATERIALIZED, keys)
        asset_of = {number: keys[key] for key, numbers in newest.items() for number in numbers}
        told = {
            asset_of[number]: (run, at, data)
            for number, run, at, _, data in read_materializations(conn, [*asset_of])
        }
    found = []
    layers = {each.name: each.layer for each in assets}
    for age in read_freshness(instance, assets, now):
        run, _, data = told.get(age.asset, ("", None, {})) if age.last else ("", None, {})
        found.append(
            (
                run,
                AssetLine(
                    *(age.asset, layers[age.asset], False, str(age.state)),
                    good=age.state not in (Age.LATE, Age.NEVER),
                    rows=int(rows) if (rows := find_number(data, *ROWS)) is not None else None,
                    seconds=find_number(data, "seconds"),
                    at=age.last,
                ),
            )
        )
    return found
