"""How old each asset is, against the ages that its freshness policy allows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dagster import DagsterInstance
from sqlalchemy import text

from millpond.instance.record import connection, database_key
from millpond.observability.assets import Asset


class Age(StrEnum):
    """How an asset stands to its policy; the worst comes first."""

    NEVER = "never materialized"
    LATE = "late"
    WARNING = "nearly late"
    FRESH = "fresh"
    UNLIMITED = "no limit"


@dataclass(frozen=True)
class Freshness:
    """When an asset was last materialized (UTC), what that means, and since when it is late if it is."""

    asset: str
    state: Age
    last: dt.datetime | None = None
    limit: dt.timedelta | None = None
    late_since: dt.datetime | None = None


_LAST = text("""
    select asset_key, last_materialization_timestamp, wipe_timestamp
    from asset_keys where asset_key = any(:assets)
""")


def read_freshness(instance: DagsterInstance, assets: Sequence[Asset], now: dt.datetime) -> list[Freshness]:
    """Return the age of each asset on main, the worst first."""
    keys = {database_key(each.name): each for each in assets}
    with connection(instance) as conn:
        rows = conn.execute(_LAST, {"assets": list(keys)}).fetchall()
    last = {
        keys[key].name: at.replace(tzinfo=dt.UTC)
        for key, at, wiped in rows
        if at and (not wiped or at > wiped)
    }
    order = list(Age)
    found = [evaluate_age(each, last.get(each.name), now) for each in assets]
    return sorted(found, key=lambda each: order.index(each.state))


def evaluate_age(asset: Asset, last: dt.datetime | None, now: dt.datetime) -> Freshness:
    """Return how an asset stands that was last materialized at `last`."""
    if last is None:
        return Freshness(asset.name, Age.NEVER, limit=asset.fail)
    if asset.fail and now - last > asset.fail:
        return Freshness(asset.name, Age.LATE, last, asset.fail, last + asset.fail)
    if asset.warn and now - last > asset.warn:
        return Freshness(asset.name, Age.WARNING, last, asset.fail)
    return Freshness(asset.name, Age.FRESH if asset.fail else Age.UNLIMITED, last, asset.fail)
