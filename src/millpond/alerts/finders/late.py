"""Days that should be there by now and are not: per asset and day, whatever else was made of it since."""

from __future__ import annotations

import datetime as dt
import json

from millpond.alerts.alert import Alert
from millpond.alerts.finders.events import asked
from millpond.alerts.finders.known import Known
from millpond.alerts.recording import open_alerts, record, resolve
from millpond.alerts.tables import Connection
from millpond.partitions import instant, latest_complete_day
from millpond.settings import Settings

_KIND = "partition_late"
_THERE = """
    select distinct asset_key, partition from event_logs
    where dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key = any(%s) and partition = any(%s)
"""


def record_late(connection: Connection, settings: Settings, known: Known, days: int, now: dt.datetime) -> int:
    """Record what is late among the last `days` due days, and end what has come; returns how many are new.

    A day is late once its asset's freshness policy has run out, counted from the end of the day, also where
    the asset was never materialized.
    """
    opened = open_alerts(connection, _KIND)
    late = _late(settings, known, days, now)
    there = _there(late | {(alert.assets[0], alert.partition) for alert in opened})
    for alert in opened:
        if (alert.assets[0], alert.partition) in there:
            resolve(connection, alert, "The day is there now.")
    return record(connection, [_alert(name, day, known) for name, day in sorted(late - there)])


def _late(settings: Settings, known: Known, days: int, now: dt.datetime) -> set[tuple[str, str]]:
    last = latest_complete_day(settings.zone)
    asked_days = [last - dt.timedelta(days=n) for n in range(days + 31)]
    found = set()
    for name, allowed in known.due.items():
        due = [
            day
            for day in asked_days
            if day >= settings.start_date
            and instant(day + dt.timedelta(days=1), settings.zone) + allowed < now
        ]
        found |= {(name, str(day)) for day in due[:days]}
    return found


def _there(wanted: set[tuple[str, str]]) -> set[tuple[str, str]]:
    keys = sorted({json.dumps(name.split("/")) for name, _ in wanted})
    rows = asked(_THERE, (keys, sorted({day for _, day in wanted}))) if wanted else []
    return {("/".join(json.loads(key)), day) for key, day in rows}


def _alert(name: str, day: str, known: Known) -> Alert:
    hours = known.due[name].total_seconds() / 3600
    return Alert(
        kind=_KIND,
        source=f"late:{name}:{day}",
        dedup_key=f"late:{name}:{day}",
        title=f"{name} is late for {day}",
        reason=f"The day was to be there {hours:g} hours after its end.",
        assets=(name,),
        partition=day,
        owners=known.owners_of([name]),
        tags=known.tags_of([name]),
    )
