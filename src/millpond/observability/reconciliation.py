"""Reconciliation of a day: what the source served, what each table holds, and what Postgres holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster import DagsterInstance

from millpond.errors import MillpondError
from millpond.instance.load_events import read_newest_events
from millpond.instance.record import UNDONE
from millpond.internals.dagster import DATA_VERSION_TAG
from millpond.lake import read
from millpond.lake.hashing import Digest, compute_digests
from millpond.lake.pins import Pin, hold_pin
from millpond.observability.assets import Asset
from millpond.partitions import Window
from millpond.publish.publication import compare_totals
from millpond.publish.spec import MartSpec

State = Literal["equal", "differs", "not materialized"]
_LAYERS = ("raw", "bronze", "silver", "gold")
_OF_LOADS = ("rows_in_source", "rows_quarantined", "duplicates_dropped", "rows_outside_window")


@dataclass(frozen=True)
class Line:
    """An asset of the day: rows and content hash as recorded and as they are now, or those of a mart.

    `loaded` holds what the load of a raw table counted. `why` says how the two differ.
    """

    asset: str
    state: State
    rows_recorded: int | None
    rows: int | None
    hash_recorded: str = ""
    hash: str = ""
    loaded: Mapping[str, int] | None = None
    why: str = ""


def reconcile_day(
    instance: DagsterInstance,
    assets: Sequence[Asset],
    marts: Mapping[str, MartSpec],
    day: dt.date,
    ref: str,
) -> Iterator[Line]:
    """Yield a line for each daily table, in the order of the data's way, then one for each mart.

    A table's rows of the day are hashed again; a mart is compared as a whole, by counts and sums that
    Postgres computes. Raises RefNotFound.
    """
    with hold_pin(ref) as pin:
        for asset in assets:
            if asset.daily and asset.table.partition(".")[0] in _LAYERS:
                yield _reconcile_table(instance, asset, day, ref, pin)
        for name, mart in marts.items():
            yield _reconcile_mart(name, mart, ref, pin)


def _reconcile_table(instance: DagsterInstance, asset: Asset, day: dt.date, ref: str, pin: Pin) -> Line:
    window = Window.of_day(day)
    key = dg.AssetKey.from_user_string(asset.name)
    event = read_newest_events(instance, key, window, ref).get(day)
    now = _compute_digest(pin, asset.table, window)
    recorded = str((event.tags or {}).get(DATA_VERSION_TAG, "")) if event else ""
    if event is None or recorded == UNDONE:
        if not now.rows:
            return Line(asset.name, "not materialized", None, 0)
        why = f"{now.rows} rows are there that no run recorded"
        return Line(asset.name, "differs", None, now.rows, hash=now.hex, why=why)
    values = {name: value.value for name, value in event.metadata.items()}
    count = values.get("dagster/partition_row_count")
    loaded = {name: rows for name in _OF_LOADS if isinstance(rows := values.get(name), int)}
    rows_recorded = count if isinstance(count, int) else None
    why = _explain(rows_recorded, recorded, now) or _find_unaccounted(loaded, values)
    state: State = "differs" if why else "equal"
    return Line(asset.name, state, rows_recorded, now.rows, recorded, now.hex, loaded or None, why)


def _compute_digest(pin: Pin, table: str, window: Window) -> Digest:
    if not read.exists(pin, table):
        return Digest()
    rows = read.scan(pin, table, window=window)
    return compute_digests(rows, None).get(None, Digest())


def _explain(rows: int | None, recorded: str, now: Digest) -> str:
    if rows is not None and rows != now.rows:
        return f"{now.rows} rows are there, {rows} were recorded"
    if recorded != now.hex:
        return f"the {now.rows} rows are not those that were recorded"
    return ""


def _find_unaccounted(loaded: Mapping[str, int], values: Mapping[str, Any]) -> str:
    """Return how the rows of the source differ from those loaded, quarantined and dropped."""
    if len(loaded) < len(_OF_LOADS) or not isinstance(values.get("rows_loaded"), int):
        return ""
    source = loaded["rows_in_source"]
    kept = values["rows_loaded"] + sum(loaded[name] for name in _OF_LOADS[1:])
    kept += values.get("rows_discarded") or 0
    return f"{source} rows were in the source, {kept} are accounted for" if source != kept else ""


def _reconcile_mart(name: str, mart: MartSpec, ref: str, pin: Pin) -> Line:
    if not read.exists(pin, mart.table):
        return Line(name, "not materialized", None, None)
    try:
        lake, postgres = compare_totals(mart, ref=ref, pin=pin)
    except MillpondError as error:
        return Line(name, "differs", None, None, why=error.what)
    if postgres is None:
        return Line(name, "not materialized", lake[0], None, why="the mart is not published")
    why = ""
    if lake[0] != postgres[0]:
        why = f"{postgres[0]} rows are in Postgres, {lake[0]} in {mart.table}"
    elif lake != postgres:
        why = f"the values in Postgres are not those of {mart.table}"
    return Line(name, "differs" if why else "equal", lake[0], postgres[0], why=why)
