"""Reads Dagster's event log by the indexes that it has: by number, by asset and day, by run.

Times are in UTC. The log has no index by time; its numbers grow with time, so the first of a moment is found
by bisection.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, text

from millpond.instance.record import parse_event

MATERIALIZED = "ASSET_MATERIALIZATION"
PLANNED = "ASSET_MATERIALIZATION_PLANNED"
SKIPPED = "ASSET_FAILED_TO_MATERIALIZE"
"""A day that its source serves no more."""

Log = Literal["event_logs", "asset_check_executions"]
_TIME: Mapping[Log, str] = {"event_logs": "timestamp", "asset_check_executions": "create_timestamp"}


def find_first_id(conn: Connection, log: Log, since: dt.datetime) -> int:
    """Return a number such that the rows of `log` from `since` on have at least this number."""
    # Rows are stored a little out of order, as runs write side by side.
    wanted = since.astimezone(dt.UTC).replace(tzinfo=None) - dt.timedelta(minutes=5)
    low, high = 0, conn.execute(text(f"select coalesce(max(id), 0) + 1 from {log}")).scalar_one()  # noqa: S608
    probe = text(f"select {_TIME[log]} from {log} where id >= :id order by id limit 1")  # noqa: S608
    while low < high:
        middle = (low + high) // 2
        at = conn.execute(probe, {"id": middle}).scalar()
        if at is not None and at < wanted:
            low = middle + 1
        else:
            high = middle
    return int(low)


_NEWEST_OF_DAYS = text("""
    select asset, day, newest.id
    from unnest(cast(:assets as text[])) asset
    cross join unnest(cast(:days as text[])) day
    cross join lateral (
        select id from event_logs
        where asset_key = asset and dagster_event_type = :kind and partition = day and partition is not null
        order by id desc limit 1
    ) newest
""")


def find_newest_of_days(
    conn: Connection, kind: str, assets: Collection[str], days: Collection[dt.date]
) -> dict[tuple[str, dt.date], int]:
    """Return the number of the newest event of this kind, by asset key and day."""
    values = {"assets": list(assets), "days": [day.isoformat() for day in days], "kind": kind}
    rows = conn.execute(_NEWEST_OF_DAYS, values)
    return {(asset, dt.date.fromisoformat(day)): number for asset, day, number in rows}


_NEWEST_OF_ASSETS = text("""
    select asset, newest.id
    from unnest(cast(:assets as text[])) asset
    cross join lateral (
        select id from event_logs
        where asset_key = asset and dagster_event_type = :kind and id >= :first
        order by id desc limit :limit
    ) newest
""")


def find_newest_of_assets(
    conn: Connection, kind: str, assets: Collection[str], first: int = 0, limit: int = 1
) -> dict[str, list[int]]:
    """Return the numbers of the newest events of this kind, newest first, by asset key."""
    values = {"assets": list(assets), "kind": kind, "first": first, "limit": limit}
    found: dict[str, list[int]] = {}
    for asset, number in conn.execute(_NEWEST_OF_ASSETS, values):
        found.setdefault(asset, []).append(number)
    return found


_DAY = "'^[0-9]{4}-[0-9]{2}-[0-9]{2}$'"
"""Partitions of an asset that was partitioned otherwise before are no days."""
_OUTER_DAYS = text(f"""
    select asset, (
        select min(partition) from event_logs
        where asset_key = asset and dagster_event_type = :kind and partition ~ {_DAY}
    ), (
        select max(partition) from event_logs
        where asset_key = asset and dagster_event_type = :kind and partition ~ {_DAY}
    )
    from unnest(cast(:assets as text[])) asset
""")  # noqa: S608


def find_outer_days(
    conn: Connection, assets: Collection[str]
) -> tuple[dict[str, dt.date], dict[str, dt.date]]:
    """Return the first and the last day that was ever materialized, by asset key."""
    rows = conn.execute(_OUTER_DAYS, {"assets": list(assets), "kind": MATERIALIZED}).fetchall()
    first = {asset: dt.date.fromisoformat(day) for asset, day, _ in rows if day}
    return first, {asset: dt.date.fromisoformat(day) for asset, _, day in rows if day}


def read_wipes(conn: Connection, assets: Collection[str]) -> dict[str, dt.datetime]:
    """Return when assets were wiped; what was materialized before is no more."""
    rows = conn.execute(
        text("select asset_key, wipe_timestamp from asset_keys where asset_key = any(:assets)"),
        {"assets": list(assets)},
    )
    return {asset: at.replace(tzinfo=dt.UTC) for asset, at in rows if at}


def read_times(conn: Connection, numbers: Collection[int]) -> dict[int, dt.datetime]:
    """Return the times of events by number."""
    rows = conn.execute(
        text("select id, timestamp from event_logs where id = any(:ids)"), {"ids": list(numbers)}
    )
    return {number: at.replace(tzinfo=dt.UTC) for number, at in rows}


_WRITES = text("select id, run_id, timestamp, partition, event from event_logs where id = any(:ids)")


def read_materializations(
    conn: Connection, numbers: Sequence[int]
) -> Iterator[tuple[int, str, dt.datetime, str | None, dict[str, Any]]]:
    """Yield number, run, time, partition and metadata of materializations."""
    for number, run, at, partition, event in conn.execute(_WRITES, {"ids": list(numbers)}):
        # Parsed here: Postgres would parse the whole text once for each level below it.
        made = parse_event(event)["dagster_event"]["event_specific_data"]["materialization"]
        entries = ((each["label"], each["entry_data"]) for each in made["metadata_entries"])
        told = {label: data.get("value", data.get("text", data.get("data"))) for label, data in entries}
        yield number, run, at.replace(tzinfo=dt.UTC), partition, told


def find_number(told: Mapping[str, Any], *names: str) -> float | None:
    """Return the first of these metadata that is a number; assets of a project's own may say anything."""
    values = (told.get(name) for name in names)
    return next((v for v in values if isinstance(v, int | float) and not isinstance(v, bool)), None)
