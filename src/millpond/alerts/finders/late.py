"""Late partitions, and marts without yesterday after the time that alerts.yaml sets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.event_log import Materialization, read_materializations
from millpond.alerts.outbox import Connection, list_open_alerts, record, resolve
from millpond.partitions import instant, latest_complete_day, parse_day
from millpond.settings import Settings

_LATE = "partition_late"
_Expected = set[tuple[str, dt.date]]


def record_late(
    connection: Connection, settings: Settings, facts: AssetFacts, days: int, now: dt.datetime
) -> int:
    """Record what is late among the last `days` due days, resolve what has arrived; returns how many are new.

    A day is late when the fail window of its asset's freshness policy has passed since the end of the day,
    even if the asset was never materialized. Materializations before the end of the day do not count. An
    asset without partitions is late for a day if it was not materialized since the end of that day.
    """
    opened = {
        (alert.assets[0], parse_day(alert.partition)): alert for alert in list_open_alerts(connection, _LATE)
    }
    late = _find_late(settings, facts, days, now)
    there = _find_present(late | opened.keys(), facts, settings)
    for expected in there & opened.keys():
        resolve(connection, opened[expected], "The day has arrived.")
    for name, day in opened.keys() - there:
        if facts.is_idle(name):
            resolve(connection, opened[name, day], "Its source has no address.")
    return record(connection, [_build_late_alert(name, day, facts) for name, day in sorted(late - there)])


def _find_late(settings: Settings, facts: AssetFacts, days: int, now: dt.datetime) -> _Expected:
    last = latest_complete_day(settings.zone)
    asked_days = [last - dt.timedelta(days=n) for n in range(days + 31)]
    found = set()
    for name, allowed in facts.due.items():
        due = [
            day
            for day in asked_days
            if day >= settings.start_date and _find_end(day, settings) + allowed < now
        ]
        found |= {(name, day) for day in due[:days]}
    return found


def _find_present(wanted: _Expected, facts: AssetFacts, settings: Settings) -> _Expected:
    if not wanted:
        return set()
    days = {day for _, day in wanted}
    made = read_materializations(_find_end(min(days), settings), {name for name, _ in wanted}, days)
    return {
        (name, day)
        for name, day in wanted
        if _is_since(made.get((name, day if name in facts.daily else None), ()), _find_end(day, settings))
    }


def _is_since(made: Iterable[Materialization], end: dt.datetime) -> bool:
    return any(each.at >= end for each in made)


def _find_end(day: dt.date, settings: Settings) -> dt.datetime:
    return instant(day + dt.timedelta(days=1), settings.zone)


def _build_late_alert(name: str, day: dt.date, facts: AssetFacts) -> Alert:
    hours = facts.due[name].total_seconds() / 3600
    return facts.alert_of(
        name,
        day,
        kind=_LATE,
        title=f"{name} is late for {day}",
        reason=f"The day was due {hours:g} h after its end.",
    )


_NOT_PUBLISHED = "not_published"
_Log = Mapping[tuple[str, dt.date | None], list[Materialization]]


def record_unpublished(
    connection: Connection, settings: Settings, facts: AssetFacts, by: str, now: dt.datetime
) -> int:
    """Record the marts without yesterday after `by` (HH:MM, in the zone of `now`), resolve what has arrived.

    Returns how many are new.
    """
    assets = frozenset().union(*facts.made_from.values())
    log = cache(lambda day: _read_log(day, assets, settings))  # queried once for all marts, every few seconds
    for alert in list_open_alerts(connection, _NOT_PUBLISHED):
        day = parse_day(alert.partition)
        if facts.is_idle(alert.assets[0]):
            resolve(connection, alert, "Its source has no address.")
        elif not _find_gap(alert.assets[0], day, facts, log(day)):
            resolve(connection, alert, "The day is published now.")
    yesterday = latest_complete_day(settings.zone)
    if now.time() < dt.time.fromisoformat(by) or yesterday < settings.start_date:
        return 0
    found = ((mart, _find_gap(mart, yesterday, facts, log(yesterday))) for mart in sorted(facts.made_from))
    return record(
        connection, [_build_mart_alert(mart, yesterday, why, by, facts) for mart, why in found if why]
    )


def find_missing(mart: str, day: dt.date, facts: AssetFacts, settings: Settings) -> str:
    """Return which upstream asset of `mart` lacks the complete `day`; empty if the mart holds it.

    Each asset must be materialized after its parents, beginning with a load after the end of the day.
    """
    return _find_gap(mart, day, facts, _read_log(day, facts.made_from[mart].keys(), settings))


def _read_log(day: dt.date, assets: Collection[str], settings: Settings) -> _Log:
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
            return f"{name} was not materialized from it"
        since[name] = first
    return ""


def _build_mart_alert(mart: str, day: dt.date, why: str, by: str, facts: AssetFacts) -> Alert:
    return facts.alert_of(
        mart,
        day,
        kind=_NOT_PUBLISHED,
        title=f"{mart} does not hold {day} yet",
        reason=f"It was due by {by}; {why}.",
    )
