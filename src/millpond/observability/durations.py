"""How long each asset took, run by run, and which runs took unusually long."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dagster import DagsterInstance

from millpond.instance.record import connection, database_key
from millpond.observability.assets import Asset
from millpond.observability.events import (
    MATERIALIZED,
    find_first_id,
    find_newest_of_assets,
    find_number,
    read_materializations,
)

_EVENTS_OF_ASSET = 300
_LEAST_RUNS = 5
_MAD_OF_NORMAL = 1.4826
_SPREADS = 4.0


@dataclass(frozen=True)
class Duration:
    """How long one run worked on one asset, over all of its `days` (1 for an asset without partitions).

    `outlier` is true if it took far longer than the others of its asset, by day.
    """

    asset: str
    run: str
    at: dt.datetime
    seconds: float
    days: int
    outlier: bool = False


def read_durations(instance: DagsterInstance, assets: Sequence[Asset], since: dt.datetime) -> list[Duration]:
    """Return durations since a moment, oldest first; at most the latest 300 events of an asset are read."""
    keys = {database_key(each.name): each.name for each in assets}
    with connection(instance) as conn:
        first = find_first_id(conn, "event_logs", since)
        newest = find_newest_of_assets(conn, MATERIALIZED, keys, first, _EVENTS_OF_ASSET)
        asset_of = {number: keys[key] for key, numbers in newest.items() for number in numbers}
        spent: defaultdict[tuple[str, str], list[tuple[dt.datetime, float]]] = defaultdict(list)
        for number, run, at, _, told in read_materializations(conn, [*asset_of]):
            if (seconds := find_number(told, "seconds")) is not None:
                spent[asset_of[number], run].append((at, seconds))
    found = [
        Duration(asset, run, max(at for at, _ in parts), sum(each for _, each in parts), len(parts))
        for (asset, run), parts in spent.items()
    ]
    return mark_outliers(sorted(found, key=lambda each: each.at))


def mark_outliers(durations: Sequence[Duration]) -> list[Duration]:
    """Return the same durations, those marked that took far longer than the median of their asset.

    Far is four standard deviations, estimated from the median deviation, and at least twice the median and
    a second more; an asset with fewer than five runs has no outliers.
    """
    by_asset: defaultdict[str, list[float]] = defaultdict(list)
    for each in durations:
        by_asset[each.asset].append(each.seconds / each.days)
    limits = {}
    for asset, seconds in by_asset.items():
        median = statistics.median(seconds)
        spread = _MAD_OF_NORMAL * statistics.median(abs(each - median) for each in seconds)
        enough = len(seconds) >= _LEAST_RUNS
        limits[asset] = max(median + _SPREADS * spread, 2 * median, median + 1) if enough else float("inf")
    return [
        Duration(
            *(each.asset, each.run, each.at, each.seconds, each.days),
            outlier=each.seconds / each.days > limits[each.asset],
        )
        for each in durations
    ]
