"""Yesterday, which is to be in each mart by a time of day: followed from the source through each model."""

from __future__ import annotations

import datetime as dt

from millpond.alerts.alert import Alert
from millpond.alerts.finders.known import Known
from millpond.alerts.finders.made import made_since
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import instant, latest_complete_day, parse_day
from millpond.settings import Settings

_KIND = "not_published"


def record_unpublished(
    connection: Connection, settings: Settings, known: Known, by: str, now: dt.datetime
) -> int:
    """Record the marts without yesterday from `by` on (HH:MM, in the zone of `now`), end what has come.

    Returns how many are new.
    """
    for alert in open_alerts(connection, _KIND):
        if not missing(alert.assets[0], parse_day(alert.partition), known, settings):
            resolve(connection, alert, "The day is published now.")
    yesterday = latest_complete_day(settings.zone)
    if now.time() < dt.time.fromisoformat(by) or yesterday < settings.start_date:
        return 0
    found = ((mart, missing(mart, yesterday, known, settings)) for mart in sorted(known.made_from))
    return record(connection, [_alert(mart, str(yesterday), why, by, known) for mart, why in found if why])


def missing(mart: str, day: dt.date, known: Known, settings: Settings) -> str:
    """Return what of `mart` was not made from the complete `day`, or nothing if it holds the day.

    Each asset must have been made after those it is made from, beginning with a load after the day's end.
    """
    parents = known.made_from[mart]
    made = made_since(instant(day + dt.timedelta(days=1), settings.zone), parents, {day})
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


def _alert(mart: str, day: str, why: str, by: str, known: Known) -> Alert:
    return Alert(
        kind=_KIND,
        source=f"{_KIND}:{mart}:{day}",
        dedup_key=f"{_KIND}:{mart}:{day}",
        title=f"{mart} does not hold {day} yet",
        reason=f"It was to be published by {by}; {why}.",
        assets=(mart,),
        partition=day,
        owners=known.owners_of([mart]),
        tags=known.tags_of([mart]),
    )
