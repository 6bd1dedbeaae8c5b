"""Yesterday, which is to be in each mart by a time of day: followed from the source through each model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from functools import cache

from millpond.alerts.alert import Alert
from millpond.alerts.finders.known import Known
from millpond.alerts.finders.made import Made, made_since
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import instant, latest_complete_day, parse_day
from millpond.settings import Settings

_KIND = "not_published"
_Log = Mapping[tuple[str, dt.date | None], list[Made]]


def record_unpublished(
    connection: Connection, settings: Settings, known: Known, by: str, now: dt.datetime
) -> int:
    """Record the marts without yesterday from `by` on (HH:MM, in the zone of `now`), end what has come.

    Returns how many are new.
    """
    assets = frozenset().union(*known.made_from.values())
    log = cache(lambda day: _log(day, assets, settings))  # asked once for all marts, every few seconds
    for alert in open_alerts(connection, _KIND):
        day = parse_day(alert.partition)
        if known.is_idle(alert.assets[0]):
            resolve(connection, alert, "Its source has no address.")
        elif not _missing(alert.assets[0], day, known, log(day)):
            resolve(connection, alert, "The day is published now.")
    yesterday = latest_complete_day(settings.zone)
    if now.time() < dt.time.fromisoformat(by) or yesterday < settings.start_date:
        return 0
    found = ((mart, _missing(mart, yesterday, known, log(yesterday))) for mart in sorted(known.made_from))
    return record(connection, [_alert(mart, yesterday, why, by, known) for mart, why in found if why])


def missing(mart: str, day: dt.date, known: Known, settings: Settings) -> str:
    """Return what of `mart` was not made from the complete `day`, or nothing if it holds the day.

    Each asset must have been made after those it is made from, beginning with a load after the day's end.
    """
    return _missing(mart, day, known, _log(day, known.made_from[mart].keys(), settings))


def _log(day: dt.date, assets: Collection[str], settings: Settings) -> _Log:
    return made_since(instant(day + dt.timedelta(days=1), settings.zone), assets, {day})


def _missing(mart: str, day: dt.date, known: Known, made: _Log) -> str:
    parents = known.made_from[mart]
    since: dict[str, int] = {}
    for name in parents:  # parents come first
        after = max((since[parent] for parent in parents[name]), default=0)
        if name not in known.daily and not parents[name]:
            since[name] = after  # a calendar, which knows every day
            continue
        events = made.get((name, day if name in known.daily else None), ())
        first = next((each.id for each in events if each.id > after), None)
        if first is None:
            return f"{name} was not made from it"
        since[name] = first
    return ""


def _alert(mart: str, day: dt.date, why: str, by: str, known: Known) -> Alert:
    return known.alert_of(
        mart,
        day,
        kind=_KIND,
        title=f"{mart} does not hold {day} yet",
        reason=f"It was to be published by {by}; {why}.",
    )
