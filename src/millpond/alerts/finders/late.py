"""Days that should be there by now and are not: per asset and day, whatever else was made of it since."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from millpond.alerts.alert import Alert
from millpond.alerts.finders.known import Known
from millpond.alerts.finders.made import Made, made_since
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import instant, latest_complete_day, parse_day
from millpond.settings import Settings

_KIND = "partition_late"
_Expected = set[tuple[str, dt.date]]


def record_late(connection: Connection, settings: Settings, known: Known, days: int, now: dt.datetime) -> int:
    """Record what is late among the last `days` due days, and end what has come; returns how many are new.

    A day is late once its asset's freshness policy has run out, counted from the end of the day, also where
    the asset was never materialized. What was made before the day had ended does not count. An asset without
    partitions is late for a day if it was not made since its end.
    """
    opened = {
        (alert.assets[0], parse_day(alert.partition)): alert for alert in open_alerts(connection, _KIND)
    }
    late = _late(settings, known, days, now)
    there = _there(late | opened.keys(), known, settings)
    for expected in there & opened.keys():
        resolve(connection, opened[expected], "The day is there now.")
    for name, day in opened.keys() - there:
        if known.is_idle(name):
            resolve(connection, opened[name, day], "Its source has no address.")
    return record(connection, [_alert(name, day, known) for name, day in sorted(late - there)])


def _late(settings: Settings, known: Known, days: int, now: dt.datetime) -> _Expected:
    last = latest_complete_day(settings.zone)
    asked_days = [last - dt.timedelta(days=n) for n in range(days + 31)]
    found = set()
    for name, allowed in known.due.items():
        due = [
            day for day in asked_days if day >= settings.start_date and _end(day, settings) + allowed < now
        ]
        found |= {(name, day) for day in due[:days]}
    return found


def _there(wanted: _Expected, known: Known, settings: Settings) -> _Expected:
    if not wanted:
        return set()
    days = {day for _, day in wanted}
    made = made_since(_end(min(days), settings), {name for name, _ in wanted}, days)
    return {
        (name, day)
        for name, day in wanted
        if _since(made.get((name, day if name in known.daily else None), ()), _end(day, settings))
    }


def _since(made: Iterable[Made], end: dt.datetime) -> bool:
    return any(each.at >= end for each in made)


def _end(day: dt.date, settings: Settings) -> dt.datetime:
    return instant(day + dt.timedelta(days=1), settings.zone)


def _alert(name: str, day: dt.date, known: Known) -> Alert:
    hours = known.due[name].total_seconds() / 3600
    return known.alert_of(
        name,
        day,
        kind=_KIND,
        title=f"{name} is late for {day}",
        reason=f"The day was to be there {hours:g} hours after its end.",
    )
