"""Past runs for a plan: failures since the last success, seconds and rows per day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from sqlalchemy import func, select, union_all

from millpond.backfill.plan import Chunk, Estimate
from millpond.backfill.staleness import FailedAttempt
from millpond.instance.failure import INTERRUPTS
from millpond.instance.record import (
    DAYS_BEYOND_REACH,
    Day,
    connection,
    database_key,
    parse_event,
)
from millpond.instance.unreachable import find_skipped_days
from millpond.internals.dagster_on_demand import SqlEventLogStorageTable
from millpond.partitions import parse_day, parse_windows
from millpond.runs.progress import ROWS

_EVENTS = SqlEventLogStorageTable.c
_MATERIALIZED = (DagsterEventType.ASSET_MATERIALIZATION.value, DagsterEventType.ASSET_OBSERVATION.value)
_PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_AT_ONCE = 5000
_RUNS = 30
_SAMPLES = 28


@dataclass(frozen=True)
class Share:
    """The time of one asset in one run: seconds for all its `days` together; a whole asset counts as one."""

    asset: str
    seconds: float
    days: int


@dataclass(frozen=True)
class PastRun:
    """A successful run: how long it took, and its assets."""

    seconds: float
    shares: tuple[Share, ...]


def read_failures(instance: DagsterInstance, assets: Collection[str]) -> dict[str, dict[Day, FailedAttempt]]:
    """Return the partitions of main whose latest attempt failed since they were last materialized.

    An attempt counts if its own step failed, not if the step was never reached or was killed. Days that a
    source no longer serves are included, as `gone`.
    """
    names = {database_key(asset): asset for asset in assets}
    kind = _EVENTS.dagster_event_type
    planned = func.max(_EVENTS.id).filter(kind == _PLANNED)
    made = func.max(_EVENTS.id).filter(kind == _MATERIALIZED[0])
    with connection(instance) as conn:
        newer = conn.execute(
            select(planned, _EVENTS.asset_key, _EVENTS.partition)
            .where(_EVENTS.asset_key.in_(names), kind.in_((_PLANNED, _MATERIALIZED[0])))
            .group_by(_EVENTS.asset_key, _EVENTS.partition)
            .having(planned > func.coalesce(made, 0))
        ).fetchall()
        steps = read_steps(conn, [event for event, *_ in newer])
        errors = read_step_failures(conn, {run for run, _ in steps.values()})
    failed: dict[str, dict[Day, FailedAttempt]] = defaultdict(dict)
    for event, key, partition in newer:
        if (failure := errors.get(steps[event])) is not None:
            day = None if partition is None else parse_day(partition)
            beyond_reach = parse_windows(str(failure.get(DAYS_BEYOND_REACH, "")))
            gone = day is not None and any(day in window for window in beyond_reach)
            failed[names[key]][day] = FailedAttempt(str(failure.get("error", "see its run")), gone)
    for asset, days in find_skipped_days(instance, assets).items():
        failed[asset] |= {day: FailedAttempt("BeyondReach", gone=True) for day in days}
    return dict(failed)


def read_past_runs(instance: DagsterInstance, job: str) -> list[PastRun]:
    """Return the latest successful runs of `job`, newest first, up to 30."""
    wanted = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
    records = instance.get_run_records(wanted, limit=_RUNS)
    spent = {
        record.dagster_run.run_id: record.end_time - record.start_time
        for record in records
        if record.start_time and record.end_time
    }
    shares: defaultdict[str, list[Share]] = defaultdict(list)
    with connection(instance) as conn:
        per_asset = conn.execute(
            select(_EVENTS.run_id, func.max(_EVENTS.id), func.count())
            .where(_EVENTS.run_id.in_(spent), _EVENTS.dagster_event_type.in_(_MATERIALIZED))
            .group_by(_EVENTS.run_id, _EVENTS.asset_key)
        ).fetchall()
        numbers = {event: (run, count) for run, event, count in per_asset}
        # All days of a run record the same seconds, so one of them is enough.
        for event, asset, metadata in _read_metadata(conn, list(numbers)):
            run, count = numbers[event]
            if isinstance(seconds := metadata.get("seconds"), int | float):
                shares[run].append(Share(asset, seconds * count, count))
    return [PastRun(seconds, tuple(shares[run])) for run, seconds in spent.items() if shares[run]]


def average_rows(instance: DagsterInstance, assets: Collection[str]) -> float | None:
    """Return the recent average of rows per day of the largest of `assets`; None without history."""
    if not assets:
        return None
    newest = [
        select(_EVENTS.id)
        .where(_EVENTS.asset_key == database_key(asset), _EVENTS.dagster_event_type == _MATERIALIZED[0])
        .order_by(_EVENTS.id.desc())
        .limit(_SAMPLES)
        .subquery()
        for asset in assets
    ]
    rows: defaultdict[str, list[float]] = defaultdict(list)
    with connection(instance) as conn:
        ids = conn.execute(union_all(*(select(found.c.id) for found in newest))).scalars().all()
        for _, asset, metadata in _read_metadata(conn, list(ids)):
            count = next(
                (metadata[name] for name in ROWS if isinstance(metadata.get(name), int | float)), None
            )
            if count is not None:
                rows[asset].append(count)
    return max((sum(found) / len(found) for found in rows.values()), default=None)


def read_steps(conn: Any, events: list[int]) -> dict[int, tuple[str, str]]:
    """Return run and step of events, by their ids."""
    found: dict[int, tuple[str, str]] = {}
    for some in _split(events):
        rows = conn.execute(select(_EVENTS.id, _EVENTS.run_id, _EVENTS.step_key).where(_EVENTS.id.in_(some)))
        found |= {event: (run, step) for event, run, step in rows}
    return found


def read_step_failures(conn: Any, runs: Collection[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the failure metadata of each failed step of `runs`, without those that were interrupted."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for some in _split(sorted(runs)):
        rows = conn.execute(
            select(_EVENTS.run_id, _EVENTS.step_key, _EVENTS.event).where(
                _EVENTS.run_id.in_(some),
                _EVENTS.dagster_event_type == DagsterEventType.STEP_FAILURE.value,
            )
        )
        for run, step, event in rows:
            data = parse_event(event)["dagster_event"]["event_specific_data"] or {}
            if not _is_interrupt(data.get("error")):
                found[run, step] = _to_dict(data.get("user_failure_data") or {})
    return found


def _is_interrupt(error: Mapping[str, Any] | None) -> bool:
    return error is not None and (error["cls_name"] in INTERRUPTS or _is_interrupt(error.get("cause")))


def _read_metadata(conn: Any, events: list[int]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield event, asset and metadata of materializations and observations."""
    for some in _split(events):
        for event, body in conn.execute(select(_EVENTS.id, _EVENTS.event).where(_EVENTS.id.in_(some))):
            data = parse_event(body)["dagster_event"]["event_specific_data"]
            made = data.get("materialization") or data.get("asset_observation")
            yield event, "/".join(made["asset_key"]["path"]), _to_dict(made)


def _to_dict(metadata: Mapping[str, Any]) -> dict[str, Any]:
    entries = ((entry["label"], entry["entry_data"]) for entry in metadata.get("metadata_entries", ()))
    return {label: data.get("value", data.get("text")) for label, data in entries}


def _split(every: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


_RUNS_AN_ASSET = 5
"""How many of the latest runs of each asset are used, plus the latest with each other number of days."""


@dataclass(frozen=True)
class Rate:
    """The time that an asset takes: seconds per run, and seconds per day."""

    per_run: float
    per_day: float


def estimate(chunks: Iterable[Chunk], past: Sequence[PastRun]) -> Estimate | None:
    """Return the expected seconds of `chunks`, run in sequence; None if none of their assets ever ran.

    Each asset's rate comes from its latest runs; added for each run is the average time of those runs outside
    of their assets. `past` is sorted newest first.
    """
    planned = list(chunks)
    assets = {asset for chunk in planned for asset in chunk.assets + chunk.whole}
    points: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    around: list[float] = []
    for run in past:
        new = [s for s in run.shares if s.asset in assets and _adds_point(points[s.asset], s.days)]
        for share in new:
            points[share.asset].append((share.days, share.seconds))
        if new:
            around.append(max(0.0, run.seconds - sum(share.seconds for share in run.shares)))
    if not around:
        return None
    rates = {asset: fit_rate(points[asset]) for asset in assets if points[asset]}
    rest = sum(around) / len(around)
    days = sum(len(chunk.window) for chunk in planned if chunk.window)
    of_days = sum(
        rates[asset].per_day * (len(chunk.window) if chunk.window and asset not in chunk.whole else 1)
        for chunk in planned
        for asset in chunk.assets + chunk.whole
        if asset in rates
    )
    of_runs = sum(
        rest + sum(rates[asset].per_run for asset in chunk.assets + chunk.whole if asset in rates)
        for chunk in planned
    )
    runs = f"{len(around)} runs" if len(around) > 1 else "run"
    basis = f"the last {runs} of these assets"
    basis += f": {of_days / days:.2g} s per day + " if days else ": "
    basis += f"{(of_runs if days else of_runs + of_days) / len(planned):.2g} s per run"
    if unknown := len(assets) - len(rates):
        basis += f"; {unknown} of {len(assets)} assets never ran and are not included"
    return Estimate(round(of_days + of_runs, 1), basis)


def _adds_point(points: Sequence[tuple[int, float]], days: int) -> bool:
    """Return whether a run of `days` days adds a point: runs of one length say little about others."""
    return len(points) < _RUNS_AN_ASSET or days not in {size for size, _ in points}


def fit_rate(points: Sequence[tuple[int, float]]) -> Rate:
    """Return the least-squares line through runs of (days, seconds), with neither coefficient negative.

    If all runs had the same number of days, all seconds are attributed to the days.
    """
    days = sum(day for day, _ in points) / len(points)
    seconds = sum(second for _, second in points) / len(points)
    spread = sum((day - days) ** 2 for day, _ in points)
    if not spread:
        return Rate(0.0, seconds / days)
    slope = sum((day - days) * (second - seconds) for day, second in points) / spread
    slope = min(max(slope, 0.0), seconds / days)
    return Rate(seconds - slope * days, slope)
