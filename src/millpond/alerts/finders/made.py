"""What was made of some days, once they had ended, as Dagster's event log has it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from typing import NamedTuple

from millpond.alerts.finders.events import asked
from millpond.resources.record import UNFINISHED_TAG

_MADE = """
    select asset_key, partition, id, timestamp from event_logs e
    where dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key = any(%s) and timestamp >= %s
        and (partition is null or partition = any(%s))
        and not exists (select 1 from asset_event_tags t where t.event_id = e.id and t.key = %s)
    order by id
"""
_EVER = "select asset_key from asset_keys where asset_key = any(%s) and last_materialization is not null"


class Made(NamedTuple):
    """A materialization: its place in the log, and when it was."""

    id: int
    at: dt.datetime


def made_since(
    moment: dt.datetime, assets: Collection[str], days: Collection[dt.date]
) -> dict[tuple[str, dt.date | None], list[Made]]:
    """Return the materializations since `moment`, the oldest first, by asset and day.

    The day is None for an asset without partitions. Loads that began before their day had ended are left out.
    """
    keys = sorted(json.dumps(name.split("/")) for name in assets)
    rows = asked(
        _MADE,
        (keys, moment.astimezone(dt.UTC).replace(tzinfo=None), sorted(map(str, days)), UNFINISHED_TAG),
    )
    found: dict[tuple[str, dt.date | None], list[Made]] = {}
    for key, partition, number, at in rows:
        day = dt.date.fromisoformat(partition) if partition else None
        found.setdefault(("/".join(json.loads(key)), day), []).append(Made(number, at.replace(tzinfo=dt.UTC)))
    return found


def ever_made(assets: Collection[str]) -> set[str]:
    """Return those of `assets` of which anything was ever made."""
    keys = sorted(json.dumps(name.split("/")) for name in assets)
    return {"/".join(json.loads(key)) for (key,) in asked(_EVER, (keys,))} if keys else set()
