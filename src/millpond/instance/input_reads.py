"""What a step asks of assets: versions of all its inputs in one statement, and the target of a check."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from dagster import AssetKey

from millpond.instance.prepared import execute
from millpond.instance.record import connect_to_home, parse_event
from millpond.internals.dagster import DATA_VERSION_TAG

_INPUTS = """
with days as (select * from unnest(%(of)s::text[], %(day)s::text[]) as days (asset_key, day))
select asset_key, last_materialization, (
    select string_agg(value, '' order by day collate "C") from days
    cross join lateral (
        select max(id) as id from event_logs e where e.asset_key = days.asset_key
        and e.dagster_event_type = 'ASSET_MATERIALIZATION' and e.partition = day
    ) as newest
    join asset_event_tags on event_id = newest.id and key = %(tag)s::text
    where days.asset_key = known.asset_key
)
from asset_keys known where asset_key = any(%(assets)s::text[])
and asset_details is null and wipe_timestamp is null and last_materialization is not null"""
_NEWEST = """
select id, event, (select asset_details from asset_keys where asset_key = %(asset)s::text) from event_logs
where asset_key = %(asset)s and dagster_event_type = 'ASSET_MATERIALIZATION' and partition = %(day)s::text
order by id desc limit 1"""


class StateOfInput(NamedTuple):
    """The newest materialization of an input of a step; `used` is the version of all that the step reads."""

    id: int
    run: str
    time: float
    version: str
    used: str


def read_inputs(
    storage: Any, days: Mapping[AssetKey, Collection[str] | None]
) -> dict[AssetKey, StateOfInput]:
    """Return the state of assets as a step's inputs, with one version of the days given for each, if any.

    Those that were wiped or never materialized are left out, and all if the storage is not a home's.
    """
    if (connection := connect_to_home(storage)) is None or not days:
        return {}
    keys = {key.to_string(): key for key in days}
    wanted = [(name, day) for name, key in keys.items() for day in days[key] or ()]
    values = {
        "assets": list(keys),
        "of": [name for name, _ in wanted],
        "day": [day for _, day in wanted],
        "tag": DATA_VERSION_TAG,
    }
    with connection as held:
        rows = execute(held, _INPUTS, values).fetchall()
    found = {}
    for name, record, versions in rows:
        document = parse_event(record)
        if "event_log_entry" not in document:  # as old versions of Dagster wrote it
            continue
        entry = document["event_log_entry"]
        tags = entry["dagster_event"]["event_specific_data"]["materialization"]["tags"]
        if version := (tags or {}).get(DATA_VERSION_TAG):
            of_days = days[keys[name]]
            used = version if of_days is None else hashlib.sha256((versions or "").encode()).hexdigest()
            found[keys[name]] = StateOfInput(
                document["storage_id"], entry["run_id"], entry["timestamp"], version, used
            )
    return found


def read_newest(storage: Any, asset: AssetKey, day: str) -> tuple[int, str, float] | bool:
    """Return the id, run and time of the newest materialization of a day, False if there is none.

    True if Dagster is to look, as the asset was wiped or the storage is not a home's.
    """
    if (connection := connect_to_home(storage)) is None:
        return True
    with connection as held:
        row = execute(held, _NEWEST, {"asset": asset.to_string(), "day": day}).fetchone()
    if row is None:
        return False
    if row[2] is not None:
        return True
    entry = parse_event(row[1])
    return row[0], entry["run_id"], entry["timestamp"]
