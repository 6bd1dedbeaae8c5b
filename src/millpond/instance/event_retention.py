"""Retention of Dagster's event log: what a run said on its way goes, what happened to assets stays."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from sqlalchemy import and_, delete, exists, func, or_, select

from millpond.instance.record import connection
from millpond.internals.dagster_on_demand import SqlEventLogStorageTable
from millpond.settings import settings

_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_OF_PROGRESS = ("STEP_", "RESOURCE_", "ENGINE_", "HANDLED_", "LOADED_", "LOGS_", "OBJECT_STORE_", "HOOK_")
_SAID = [
    kind.value
    for kind in DagsterEventType
    if kind.value.startswith(_OF_PROGRESS) and not kind.value.endswith("_FAILURE")
]
"""Kinds of events that tell how a run went on; failures stay, as alerts and plans read them."""
_AT_ONCE = 100_000
"""Ids of events that one transaction looks through."""
_LOGS = "compute_logs"


def prune(instance: DagsterInstance, *, dry_run: bool = False) -> tuple[int, int]:
    """Delete logs and outputs of runs that are older than the setting; returns how many events and runs.

    With `dry_run` they are only counted.
    """
    age, storage = dt.timedelta(days=settings().event_retention_days), Path(instance.storage_directory())
    events = prune_events(instance, age, dry_run=dry_run)
    return events, prune_compute_logs(storage, age, dry_run=dry_run)


def prune_events(instance: DagsterInstance, older_than: dt.timedelta, *, dry_run: bool = False) -> int:
    """Delete the progress, and the lines, of runs that ended before so long; returns how many events.

    Materializations, observations, results of checks, failures, and starts and ends of runs stay. Of the
    plans to materialize a partition, those stay that no materialization followed: they tell a failed one.
    """
    events = SqlEventLogStorageTable.c
    later = SqlEventLogStorageTable.alias("later").c
    before = (dt.datetime.now(dt.UTC) - older_than).replace(tzinfo=None)
    running = [run.run_id for run in instance.get_runs(RunsFilter(statuses=_UNFINISHED))]
    made_later = (
        later.asset_key == events.asset_key,
        later.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
        later.id > events.id,
    )
    fulfilled = and_(
        events.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
        or_(  # two conditions, for which Postgres has an index each
            exists().where(*made_later, later.partition == events.partition),
            and_(events.partition.is_(None), exists().where(*made_later, later.partition.is_(None))),
        ),
    )
    said = or_(events.dagster_event_type.is_(None), events.dagster_event_type.in_(_SAID), fulfilled)
    with connection(instance) as conn:
        first, last = conn.execute(select(func.min(events.id), func.max(events.id))).one()
    deleted, start = 0, first or 0
    while last is not None and start <= last:
        with connection(instance) as conn:
            some = events.id.between(start, start + _AT_ONCE - 1)
            due = and_(some, events.timestamp < before, events.run_id.not_in(running), said)
            if dry_run:
                deleted += conn.execute(select(func.count(events.id)).where(due)).scalar_one()
            else:
                deleted += conn.execute(delete(SqlEventLogStorageTable).where(due)).rowcount
            oldest_left = conn.execute(select(func.min(events.timestamp)).where(some)).scalar()
        if oldest_left is not None and oldest_left >= before:
            break  # ids grow with time
        start += _AT_ONCE
    return deleted


def prune_compute_logs(storage: Path, older_than: dt.timedelta, *, dry_run: bool = False) -> int:
    """Delete the output of steps of runs that wrote it before so long; returns of how many runs.

    `storage` is Dagster's folder for them, which also holds what other parts store under other names.
    """
    before = (dt.datetime.now(dt.UTC) - older_than).timestamp()
    due = [
        folder / _LOGS
        for folder in (storage.iterdir() if storage.is_dir() else ())
        if _is_run(folder.name) and (folder / _LOGS).is_dir() and (folder / _LOGS).stat().st_mtime < before
    ]
    for logs in () if dry_run else due:
        shutil.rmtree(logs, ignore_errors=True)
        if not any(logs.parent.iterdir()):
            logs.parent.rmdir()
    return len(due)


def _is_run(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
