"""Reconciliation of days: what the source served, what tables and quarantines hold, what Postgres holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import dagster as dg
from dagster import DagsterInstance

from millpond.errors import MillpondError
from millpond.ingestion.reading import load_sources
from millpond.instance.load_events import read_newest_events
from millpond.instance.record import EXPIRED, UNDONE, WIPED
from millpond.internals.dagster import DATA_VERSION_TAG
from millpond.lake import read
from millpond.lake.hashing import Digest, compute_digests
from millpond.lake.pins import Pin, hold_pin
from millpond.naming import pluralize
from millpond.partitions import Window, latest_complete_day
from millpond.publish.assets import GROUP
from millpond.publish.publication import compare_totals
from millpond.publish.spec import MartSpec, read_marts
from millpond.resources.run import JOB
from millpond.settings import settings
from millpond.transform.manifest import load_project_or_last

State = Literal["equal", "differs", "not materialized", "wiped", "expired", "in progress"]
_ACTIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_REMOVED: Mapping[str, tuple[State, str]] = {
    UNDONE: ("not materialized", "commit {:.8}, which had made it, was undone"),
    WIPED: ("wiped", "wiped at {}; `millpond materialize` loads it again only with `--accept-wiped`"),
    EXPIRED: ("expired", "removed at {}, as it was older than the retention of the table"),
}
"""States of days whose rows were taken back or removed, with why, by the data version that tells it."""
_LAYERS = ("raw", "bronze", "silver", "gold")
_OF_LOADS = ("rows_in_source", "rows_quarantined", "duplicates_dropped", "rows_outside_window")


class DailyTable(Protocol):
    """An asset that writes a table of the lake; see `observability.assets.Asset`."""

    @property
    def name(self) -> str:
        """The asset key."""

    @property
    def table(self) -> str:
        """The table, `<layer>.<name>`."""

    @property
    def daily(self) -> bool:
        """Whether it has daily partitions."""


@dataclass(frozen=True)
class Table:
    """A table of the lake with the asset that writes it."""

    name: str
    table: str
    daily: bool = True


@dataclass(frozen=True)
class Line:
    """An asset of the day: rows and content hash as recorded and as they are now, or those of a mart.

    `loaded` holds what the load of a raw table counted. `why` says how the two differ. What differs while a
    run of the asset is `in progress` is recorded when that ends.
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
    assets: Sequence[DailyTable],
    marts: Mapping[str, MartSpec],
    day: dt.date,
    ref: str,
) -> Iterator[Line]:
    """Yield a line for each daily table, in the order of the data's way, then one for each mart.

    A table's rows of the day are hashed again, those in its quarantine counted; a mart is compared as a
    whole, by counts and sums that Postgres computes. Raises RefNotFound.
    """
    running = _find_running(instance)
    quarantines = _find_quarantines()
    with hold_pin(ref) as pin:
        for asset in assets:
            if asset.daily and asset.table.partition(".")[0] in _LAYERS:
                compare = partial(
                    _reconcile_table, instance, asset, day, ref, quarantine=quarantines.get(asset.name, "")
                )
                yield _confirm(compare, pin, running, instance)
        for name, mart in marts.items():
            yield _confirm(partial(_reconcile_mart, name, mart, ref), pin, running, instance)


def find_tables() -> tuple[list[Table], dict[str, MartSpec]]:
    """Return the daily tables of sources and models, and the marts by asset key; opens no connection."""
    configured = settings()
    project = load_project_or_last(configured)
    found = [
        Table(table.asset, table.raw_table)
        for source in load_sources(configured)
        for table in source.tables
        if table.has_days
    ]
    if project is None:
        return found, {}
    models = project.models()
    found += [Table(model.key, model.table) for model in models.values() if model.daily and not model.refused]
    marts, _ = read_marts(project.document(), {key: model.key for key, model in models.items()})
    return found, {f"{GROUP}/{mart.name}": mart for mart in marts}


def find_window(days: int) -> Window | None:
    """Return the latest `days` complete days, none before the first; None if there is none."""
    last = latest_complete_day(settings().zone)
    first = max(settings().start_date, last - dt.timedelta(days=days - 1))
    return Window.of_days(first, last) if days and first <= last else None


def _find_running(instance: DagsterInstance) -> frozenset[str] | None:
    """Return the assets that runs are writing now; None if one of them writes all."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_ACTIVE))
    if any(run.job_name == JOB and not run.asset_selection for run in runs):
        return None
    return frozenset(key.to_user_string() for run in runs for key in run.asset_selection or ())


def _confirm(
    compare: Callable[[Pin], Line], pin: Pin, before: frozenset[str] | None, instance: DagsterInstance
) -> Line:
    """Return a line; what differs is compared again as it is now, as a run may have ended meanwhile.

    It is in progress where a run writes the asset.
    """
    line = compare(pin)
    if line.state != "differs":
        return line
    with hold_pin(pin.ref) as now:
        line = compare(now)
    if line.state != "differs":
        return line
    for running in (before, _find_running(instance)):
        if running is None or line.asset in running:
            return replace(line, state="in progress")
    return line


def _find_quarantines() -> dict[str, str]:
    """Return the quarantine of each raw asset whose days are replaced whole, hence are of one load."""
    return {
        table.asset: table.quarantine_table
        for source in load_sources(settings())
        for table in source.tables
        if table.has_days and table.writes == "replace"
    }


def _reconcile_table(
    instance: DagsterInstance, asset: DailyTable, day: dt.date, ref: str, pin: Pin, *, quarantine: str
) -> Line:
    window = Window.of_day(day)
    key = dg.AssetKey.from_user_string(asset.name)
    event = read_newest_events(instance, key, window, ref).get(day)
    now = _compute_digest(pin, asset.table, window)
    recorded = str((event.tags or {}).get(DATA_VERSION_TAG, "")) if event else ""
    if event is None or recorded in _REMOVED:
        if not now.rows:
            return _describe_removed(asset.name, event, recorded)
        why = f"{pluralize(now.rows, 'row', 'are')} there that no run recorded"
        return Line(asset.name, "differs", None, now.rows, hash=now.hex, why=why)
    values = {name: value.value for name, value in event.metadata.items()}
    count = values.get("dagster/partition_row_count")
    loaded = {name: rows for name in _OF_LOADS if isinstance(rows := values.get(name), int)}
    rows_recorded = count if isinstance(count, int) else None
    why = _explain(rows_recorded, recorded, now) or _find_unaccounted(loaded, values)
    if not why and quarantine and "rows_quarantined" in loaded and not _is_quarantine_expired(day):
        there = read.count(pin, quarantine, window=window) if read.exists(pin, quarantine) else 0
        if there != loaded["rows_quarantined"]:
            why = f"{pluralize(there, 'row', 'are')} in {quarantine}, {loaded['rows_quarantined']} recorded"
    state: State = "differs" if why else "equal"
    return Line(asset.name, state, rows_recorded, now.rows, recorded, now.hex, loaded or None, why)


def _describe_removed(
    name: str, event: dg.AssetMaterialization | dg.AssetObservation | None, version: str
) -> Line:
    state, why = _REMOVED.get(version, ("not materialized", ""))
    at = event.metadata.get(version) if event else None
    return Line(name, state, None, 0, why=why.format(at.value) if at else "")


def _is_quarantine_expired(day: dt.date) -> bool:
    """Return whether rows of a day may have left the quarantine by their age."""
    age = dt.datetime.now(settings().zone).date() - day
    return age.days >= settings().quarantine_retention_days


def _compute_digest(pin: Pin, table: str, window: Window) -> Digest:
    if not read.exists(pin, table):
        return Digest()
    rows = read.scan(pin, table, window=window)
    return compute_digests(rows, None).get(None, Digest())


def _explain(rows: int | None, recorded: str, now: Digest) -> str:
    if rows is not None and rows != now.rows:
        return f"{pluralize(now.rows, 'row', 'are')} there, {rows} recorded"
    if recorded != now.hex:
        return f"the values of {pluralize(now.rows, 'row')} are not those that were recorded"
    return ""


def _find_unaccounted(loaded: Mapping[str, int], values: Mapping[str, Any]) -> str:
    """Return how the rows of the source differ from those loaded, quarantined and dropped."""
    if len(loaded) < len(_OF_LOADS) or not isinstance(values.get("rows_loaded"), int):
        return ""
    source = loaded["rows_in_source"]
    kept = values["rows_loaded"] + sum(loaded[name] for name in _OF_LOADS[1:])
    kept += values.get("rows_discarded") or 0
    return f"{pluralize(source, 'row', 'were')} in the source, {kept} accounted for" if source != kept else ""


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
        why = f"{pluralize(postgres[0], 'row', 'are')} in Postgres, {lake[0]} in {mart.table}"
    elif lake != postgres:
        why = f"the values in Postgres are not those of {mart.table}"
    return Line(name, "differs" if why else "equal", lake[0], postgres[0], why=why)
