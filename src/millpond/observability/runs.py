"""Runs over time: how many succeeded, how long they took, and how that compares with the time before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from dagster import DagsterInstance, DagsterRunStatus
from sqlalchemy import Connection, text

from millpond.instance.record import connection

SUCCESS, FAILURE = "SUCCESS", "FAILURE"
_EVERY = [status.value for status in DagsterRunStatus]
_RANGE = (
    "r.status = any(:statuses) and r.update_timestamp >= :since"
    " and r.create_timestamp >= :since and r.create_timestamp < :until"
)
"""`runs` has an index by status and time of change, which is never before the time of creation."""


@dataclass(frozen=True)
class Run:
    """A run; times are in UTC. `partition` is a day or a range `A...B`, `automatic` what started it."""

    id: str
    job: str
    status: str
    created: dt.datetime
    started: dt.datetime | None
    seconds: float | None
    partition: str = ""
    automatic: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.status in (FAILURE, "CANCELED")


@dataclass(frozen=True)
class DayOfRuns:
    """How many runs of a status were created on a day, and how long they took on average."""

    day: dt.date
    status: str
    runs: int
    seconds: float | None


@dataclass(frozen=True)
class RunSummary:
    """Runs of a span of time; `success_rate` is a share of the finished ones, None without any.

    `seconds` is the average duration of the successful ones.
    """

    runs: int
    succeeded: int
    failed: int
    active: int
    seconds: float | None

    @property
    def success_rate(self) -> float | None:
        """The share of finished runs that succeeded, 0 to 1."""
        finished = self.succeeded + self.failed
        return self.succeeded / finished if finished else None


_LIST = text(f"""
    select r.run_id, r.pipeline_name, r.status, r.create_timestamp, r.start_time, r.end_time, r.partition,
        (select string_agg(t.key || '=' || t.value, E'\\n') from run_tags t
         where t.run_id = r.run_id and t.key = any(:tags))
    from runs r where {_RANGE} order by r.id desc limit :limit
""")  # noqa: S608
_START, _END, _DAY = (
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
    "dagster/partition",
)
_SCHEDULE, _SENSOR, _BACKFILL = "dagster/schedule_name", "dagster/sensor_name", "dagster/backfill"
_TAGS = [_START, _END, _DAY, _SCHEDULE, _SENSOR, _BACKFILL, "dagster/auto_materialize"]


def list_runs(
    instance: DagsterInstance,
    since: dt.datetime,
    until: dt.datetime,
    *,
    statuses: Collection[str] = (),
    limit: int = 500,
) -> list[Run]:
    """Return the runs created in a span of time, newest first."""
    values = {**_span(since, until, statuses), "tags": _TAGS, "limit": limit}
    with connection(instance) as conn:
        rows = conn.execute(_LIST, values).fetchall()
    found = []
    for run, job, status, created, start, end, partition, tags in rows:
        tag = dict(line.split("=", 1) for line in (tags or "").splitlines())
        days = tag.get(_DAY) or partition or ""
        if _START in tag:
            days = tag[_START] if tag[_START] == tag.get(_END) else f"{tag[_START]}...{tag.get(_END, '')}"
        found.append(
            Run(
                id=run,
                job=job,
                status=status,
                created=created.replace(tzinfo=dt.UTC),
                started=dt.datetime.fromtimestamp(start, dt.UTC) if start else None,
                seconds=end - start if start and end else None,
                partition=days,
                automatic=tag.get(_SCHEDULE) or tag.get(_SENSOR) or (_BACKFILL in tag and "backfill") or "",
            )
        )
    return found


_COUNT = text(f"""
    select (r.create_timestamp at time zone 'UTC' at time zone :zone)::date, r.status, count(*),
        avg(r.end_time - r.start_time)
    from runs r where {_RANGE} group by 1, 2 order by 1, 2
""")  # noqa: S608


def count_runs(
    instance: DagsterInstance, since: dt.datetime, until: dt.datetime, zone: str
) -> list[DayOfRuns]:
    """Return the numbers of runs by day (in `zone`) and status."""
    with connection(instance) as conn:
        rows = conn.execute(_COUNT, {**_span(since, until), "zone": zone}).fetchall()
    return [DayOfRuns(day, status, number, seconds) for day, status, number, seconds in rows]


_SUMMARY = text(f"""
    select r.status, count(*), avg(r.end_time - r.start_time) from runs r where {_RANGE} group by 1
""")  # noqa: S608


def summarize_runs(instance: DagsterInstance, since: dt.datetime, until: dt.datetime) -> RunSummary:
    """Return what became of the runs created in a span of time."""
    with connection(instance) as conn:
        return _summarize(conn, since, until)


def compare_runs(
    instance: DagsterInstance, since: dt.datetime, until: dt.datetime
) -> tuple[RunSummary, RunSummary]:
    """Return what became of the runs of a span of time, and of those of an equally long one before it."""
    with connection(instance) as conn:
        return _summarize(conn, since, until), _summarize(conn, since - (until - since), since)


def _summarize(conn: Connection, since: dt.datetime, until: dt.datetime) -> RunSummary:
    counts, seconds = dict.fromkeys(_EVERY, 0), None
    for status, number, average in conn.execute(_SUMMARY, _span(since, until)):
        counts[status] = number
        if status == SUCCESS:
            seconds = average
    ended = counts[SUCCESS], counts[FAILURE] + counts["CANCELED"]
    every = sum(counts.values())
    return RunSummary(every, *ended, active=every - sum(ended), seconds=seconds)


def _span(since: dt.datetime, until: dt.datetime, statuses: Collection[str] = ()) -> dict[str, object]:
    moments = {"since": since, "until": until}
    plain = {name: moment.astimezone(dt.UTC).replace(tzinfo=None) for name, moment in moments.items()}
    return {**plain, "statuses": list(statuses) or _EVERY}
