"""Past runs, for a plan: failed attempts since the last success, seconds and rows per day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
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
    """What one asset took of one run: seconds for all of its `days` together; a whole asset counts as one."""

    asset: str
    seconds: float
    days: int


@dataclass(frozen=True)
class PastRun:
    """A run that succeeded: how long it took, and the assets it made."""

    seconds: float
    shares: tuple[Share, ...]


def read_failures(instance: DagsterInstance, assets: Collection[str]) -> dict[str, dict[Day, FailedAttempt]]:
    """Return the partitions of main whose latest attempt failed after they were last made.

    An attempt counts if its own step failed; one that was not reached, or was killed, changed nothing. Days
    that a source served no more are among them, as `gone`.
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
        steps = _steps(conn, [event for event, *_ in newer])
        errors = _step_failures(conn, {run for run, _ in steps.values()})
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
    """Return the latest runs of `job` that succeeded, newest first; bounded in number."""
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
        # All days of a run say the same seconds, so one speaks for them.
        for event, asset, metadata in _read_metadata(conn, list(numbers)):
            run, count = numbers[event]
            if isinstance(seconds := metadata.get("seconds"), int | float):
                shares[run].append(Share(asset, seconds * count, count))
    return [PastRun(seconds, tuple(shares[run])) for run, seconds in spent.items() if shares[run]]


def average_rows(instance: DagsterInstance, assets: Collection[str]) -> float | None:
    """Return the rows that a day of the largest of `assets` has, on average of late; None without history."""
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


def _steps(conn: Any, events: list[int]) -> dict[int, tuple[str, str]]:
    """Return run and step of events."""
    found: dict[int, tuple[str, str]] = {}
    for some in _parts(events):
        rows = conn.execute(select(_EVENTS.id, _EVENTS.run_id, _EVENTS.step_key).where(_EVENTS.id.in_(some)))
        found |= {event: (run, step) for event, run, step in rows}
    return found


def _step_failures(conn: Any, runs: Collection[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return for each step of `runs` that failed what its failure says; one that was stopped did not fail."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for some in _parts(sorted(runs)):
        rows = conn.execute(
            select(_EVENTS.run_id, _EVENTS.step_key, _EVENTS.event).where(
                _EVENTS.run_id.in_(some),
                _EVENTS.dagster_event_type == DagsterEventType.STEP_FAILURE.value,
            )
        )
        for run, step, event in rows:
            data = orjson.loads(event)["dagster_event"]["event_specific_data"] or {}
            if not _is_interrupt(data.get("error")):
                found[run, step] = _to_dict(data.get("user_failure_data") or {})
    return found


def _is_interrupt(error: Mapping[str, Any] | None) -> bool:
    return error is not None and (error["cls_name"] in INTERRUPTS or _is_interrupt(error.get("cause")))


def _read_metadata(conn: Any, events: list[int]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield event, asset and metadata of materializations and observations."""
    for some in _parts(events):
        for event, body in conn.execute(select(_EVENTS.id, _EVENTS.event).where(_EVENTS.id.in_(some))):
            data = orjson.loads(body)["dagster_event"]["event_specific_data"]
            made = data.get("materialization") or data.get("asset_observation")
            yield event, "/".join(made["asset_key"]["path"]), _to_dict(made)


def _to_dict(metadata: Mapping[str, Any]) -> dict[str, Any]:
    entries = ((entry["label"], entry["entry_data"]) for entry in metadata.get("metadata_entries", ()))
    return {label: data.get("value", data.get("text")) for label, data in entries}


def _parts(every: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


_RUNS_AN_ASSET = 5
"""Runs of each asset that are looked at, the latest; and of each other number of days the latest."""


@dataclass(frozen=True)
class Rate:
    """What an asset takes: seconds once a run, and seconds for each day."""

    a_run: float
    a_day: float


def estimate(chunks: Iterable[Chunk], past: Sequence[PastRun]) -> Estimate | None:
    """Return the expected seconds of `chunks`, one after another; None if none of their assets ever ran.

    Each asset's pace comes from its latest runs; a run takes in addition what those runs took beyond the
    seconds of their assets. `past` comes newest first.
    """
    planned = list(chunks)
    assets = {asset for chunk in planned for asset in chunk.assets + chunk.whole}
    points: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    around: list[float] = []
    for run in past:
        new = [s for s in run.shares if s.asset in assets and _tells_more(points[s.asset], s.days)]
        for share in new:
            points[share.asset].append((share.days, share.seconds))
        if new:
            around.append(max(0.0, run.seconds - sum(share.seconds for share in run.shares)))
    if not around:
        return None
    paces = {asset: fit_rate(points[asset]) for asset in assets if points[asset]}
    rest = sum(around) / len(around)
    days = sum(len(chunk.window) for chunk in planned if chunk.window)
    of_days = sum(
        paces[asset].a_day * (len(chunk.window) if chunk.window and asset not in chunk.whole else 1)
        for chunk in planned
        for asset in chunk.assets + chunk.whole
        if asset in paces
    )
    of_runs = sum(
        rest + sum(paces[asset].a_run for asset in chunk.assets + chunk.whole if asset in paces)
        for chunk in planned
    )
    runs = f"{len(around)} runs" if len(around) > 1 else "run"
    basis = f"the last {runs} of these assets"
    basis += f": {of_days / days:.2g} s a day + " if days else ": "
    basis += f"{(of_runs if days else of_runs + of_days) / len(planned):.2g} s a run"
    if unknown := len(assets) - len(paces):
        basis += f"; {unknown} of {len(assets)} assets never ran and count as nothing"
    return Estimate(round(of_days + of_runs, 1), basis)


def _tells_more(points: Sequence[tuple[int, float]], days: int) -> bool:
    """Return whether a run of so many days adds to what is known: runs of one size tell little of others."""
    return len(points) < _RUNS_AN_ASSET or days not in {size for size, _ in points}


def fit_rate(points: Sequence[tuple[int, float]]) -> Rate:
    """Return the line through runs of (days, seconds) by least squares, neither part of it below nothing.

    Where all runs had the same number of days, all of their seconds count for the days.
    """
    days = sum(day for day, _ in points) / len(points)
    seconds = sum(second for _, second in points) / len(points)
    spread = sum((day - days) ** 2 for day, _ in points)
    if not spread:
        return Rate(0.0, seconds / days)
    slope = sum((day - days) * (second - seconds) for day, second in points) / spread
    slope = min(max(slope, 0.0), seconds / days)
    return Rate(seconds - slope * days, slope)
