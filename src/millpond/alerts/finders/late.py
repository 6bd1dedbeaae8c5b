"""Partitions that are late, and marts that do not hold yesterday by the time that alerts.yaml names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.event_log import Materialization, read_materializations
from millpond.alerts.outbox import Connection, open_alerts, record, resolve
from millpond.partitions import instant, latest_complete_day, parse_day
from millpond.settings import Settings

_LATE = "partition_late"
_Expected = set[tuple[str, dt.date]]


def record_late(
    connection: Connection, settings: Settings, facts: AssetFacts, days: int, now: dt.datetime
) -> int:
    """Record what is late among the last `days` due days, and end what has come; returns how many are new.

    A day is late once its asset's freshness policy has run out, counted from the end of the day, also where
    the asset was never materialized. What was made before the day had ended does not count. An asset without
    partitions is late for a day if it was not made since its end.
    """
    opened = {
        (alert.assets[0], parse_day(alert.partition)): alert for alert in open_alerts(connection, _LATE)
    }
    late = _find_late(settings, facts, days, now)
    there = _find_present(late | opened.keys(), facts, settings)
    for expected in there & opened.keys():
        resolve(connection, opened[expected], "The day is there now.")
    for name, day in opened.keys() - there:
        if facts.is_idle(name):
            resolve(connection, opened[name, day], "Its source has no address.")
    return record(connection, [_alert_of_late(name, day, facts) for name, day in sorted(late - there)])


def _find_late(settings: Settings, facts: AssetFacts, days: int, now: dt.datetime) -> _Expected:
    last = latest_complete_day(settings.zone)
    asked_days = [last - dt.timedelta(days=n) for n in range(days + 31)]
    found = set()
    for name, allowed in facts.due.items():
        due = [
            day for day in asked_days if day >= settings.start_date and _end(day, settings) + allowed < now
        ]
        found |= {(name, day) for day in due[:days]}
    return found


def _find_present(wanted: _Expected, facts: AssetFacts, settings: Settings) -> _Expected:
    if not wanted:
        return set()
    days = {day for _, day in wanted}
    made = read_materializations(_end(min(days), settings), {name for name, _ in wanted}, days)
    return {
        (name, day)
        for name, day in wanted
        if _since(made.get((name, day if name in facts.daily else None), ()), _end(day, settings))
    }


def _since(made: Iterable[Materialization], end: dt.datetime) -> bool:
    return any(each.at >= end for each in made)


def _end(day: dt.date, settings: Settings) -> dt.datetime:
    return instant(day + dt.timedelta(days=1), settings.zone)


def _alert_of_late(name: str, day: dt.date, facts: AssetFacts) -> Alert:
    hours = facts.due[name].total_seconds() / 3600
    return facts.alert_of(
        name,
        day,
        kind=_LATE,
        title=f"{name} is late for {day}",
        reason=f"The day was to be there {hours:g} hours after its end.",
    )


_NOT_PUBLISHED = "not_published"
_Log = Mapping[tuple[str, dt.date | None], list[Materialization]]


def record_unpublished(
    connection: Connection, settings: Settings, facts: AssetFacts, by: str, now: dt.datetime
) -> int:
    """Record the marts without yesterday from `by` on (HH:MM, in the zone of `now`), end what has come.

    Returns how many are new.
    """
    assets = frozenset().union(*facts.made_from.values())
    log = cache(lambda day: _log(day, assets, settings))  # asked once for all marts, every few seconds
    for alert in open_alerts(connection, _NOT_PUBLISHED):
        day = parse_day(alert.partition)
        if facts.is_idle(alert.assets[0]):
            resolve(connection, alert, "Its source has no address.")
        elif not _find_gap(alert.assets[0], day, facts, log(day)):
            resolve(connection, alert, "The day is published now.")
    yesterday = latest_complete_day(settings.zone)
    if now.time() < dt.time.fromisoformat(by) or yesterday < settings.start_date:
        return 0
    found = ((mart, _find_gap(mart, yesterday, facts, log(yesterday))) for mart in sorted(facts.made_from))
    return record(connection, [_alert_of_mart(mart, yesterday, why, by, facts) for mart, why in found if why])


def find_missing(mart: str, day: dt.date, facts: AssetFacts, settings: Settings) -> str:
    """Return what of `mart` was not made from the complete `day`, or nothing if it holds the day.

    Each asset must have been made after those it is made from, beginning with a load after the day's end.
    """
    return _find_gap(mart, day, facts, _log(day, facts.made_from[mart].keys(), settings))


def _log(day: dt.date, assets: Collection[str], settings: Settings) -> _Log:
    return read_materializations(instant(day + dt.timedelta(days=1), settings.zone), assets, {day})


def _find_gap(mart: str, day: dt.date, facts: AssetFacts, made: _Log) -> str:
    parents = facts.made_from[mart]
    since: dict[str, int] = {}
    for name in parents:  # parents come first
        after = max((since[parent] for parent in parents[name]), default=0)
        if name not in facts.daily and not parents[name]:
            since[name] = after  # a calendar, which knows every day
            continue
        events = made.get((name, day if name in facts.daily else None), ())
        first = next((each.id for each in events if each.id > after), None)
        if first is None:
            return f"{name} was not made from it"
        since[name] = first
    return ""


def _alert_of_mart(mart: str, day: dt.date, why: str, by: str, facts: AssetFacts) -> Alert:
    return facts.alert_of(
        mart,
        day,
        kind=_NOT_PUBLISHED,
        title=f"{mart} does not hold {day} yet",
        reason=f"It was to be published by {by}; {why}.",
    )
