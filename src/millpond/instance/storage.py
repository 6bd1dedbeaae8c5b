"""Dagster's instance and storage, in the home's Postgres, which is started on demand."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Mapping
from typing import Any, Self

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsFilter,
)
from dagster_postgres import PostgresScheduleStorage
from sqlalchemy import text

from millpond.instance.backfills import CommandBackfills, limit_to_target
from millpond.instance.connections import PooledStorage, create_in_one_transaction, pool
from millpond.instance.containers import container_launcher
from millpond.instance.files import Unconfigured
from millpond.instance.home import add_origin
from millpond.instance.pause import apply_pause, hold_at_launch, hold_queued, mark_automatic, read_pause
from millpond.instance.queue import CHANGES, announce_change
from millpond.instance.ref_events import RefEventLogStorage
from millpond.instance.run_processes import HOST_TAG, end_processes, kill_deaf_process
from millpond.instance.run_usage import note_run_event
from millpond.internals.dagster import (
    WILL_RETRY_TAG,
    ConcurrencyConfig,
    ConfigurableClass,
    ConfigurableClassData,
    InstanceRef,
    RunLauncher,
    use_engine,
)
from millpond.internals.dagster_on_demand import DagsterStorage, InstigatorState, PartitionBackfill
from millpond.runtime.databases import databases, refuse_other_version
from millpond.runtime.home import exclusive, layout
from millpond.settings import settings

EVENT_BATCH = 500
"""Events of one run that are written together; Dagster's default is one."""
_TABLES_ARE_THERE = text(
    "SELECT bool_and(to_regclass(name) IS NOT NULL)"
    " FROM unnest(ARRAY['runs', 'instance_info', 'event_logs', 'jobs']) AS name"
)


class HomeInstance(DagsterInstance):
    """Dagster's instance, with events written in batches and runs launched as the settings say.

    The batches replace the environment variable DAGSTER_EVENT_BATCH_SIZE, which each process would need.
    """

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Return the keys of dagster.yaml beyond Dagster's own: none."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Return Dagster's own defaults."""
        return InstanceRef.config_defaults(base_dir)

    def _get_event_batch_size(self) -> int:
        return EVENT_BATCH

    @property
    def _instance(self) -> Self:
        return self  # which Dagster's parts of it check for each of their attributes that an event needs

    @property
    def run_launcher(self) -> RunLauncher:
        """The launcher of containers if the settings say so, else that of dagster.yaml, or of processes."""
        if self._run_launcher is None and settings().run_launcher == "docker":
            launcher = container_launcher()
            launcher.register_instance(self)
            self._run_launcher = launcher
        return end_processes(self, hold_at_launch(self, super().run_launcher))

    def report_run_canceled(self, dagster_run: DagsterRun, message: str | None = None) -> DagsterEvent:
        """Record that a run was canceled; one that did not end when it was told to is ended first."""
        kill_deaf_process(self, dagster_run)
        return super().report_run_canceled(dagster_run, message)

    def add_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store the state of a new schedule or sensor; it is off while the home is paused."""
        return super().add_instigator_state(apply_pause(self, state))

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store the state of a schedule or sensor; code switches none on while the home is paused."""
        return super().update_instigator_state(apply_pause(self, state))

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Store tags of a run; while the home is paused, no run is marked for a retry."""
        if new_tags.get(WILL_RETRY_TAG) == "true" and read_pause(self) is not None:
            new_tags = {**new_tags, WILL_RETRY_TAG: "false"}
        super().add_run_tags(run_id, new_tags)

    def get_concurrency_config(self) -> ConcurrencyConfig:
        """Return the limits by which Dagster's daemon dequeues runs."""
        return hold_queued(self, super().get_concurrency_config())

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store the state of a backfill of the pages; only its target counts as done."""
        super().update_backfill(limit_to_target(partition_backfill))


class HomeRunStorage(PooledStorage, CommandBackfills):
    """Runs in the home's Postgres; under the profile scale, each records its host."""

    def has_run_stats_index_cols(self) -> bool:
        """Return whether runs have columns of their times; cached once they do."""
        return all(self.includes("runs", column) for column in ("start_time", "end_time"))

    def has_backfill_id_column(self) -> bool:
        """Return whether runs have a column of their backfill; cached once they do."""
        return self.includes("runs", "backfill_id")

    def has_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> bool:
        """Return whether a plan of steps is stored; Dagster reads all of it for each run to see that."""
        return self.has_job_snapshot(execution_plan_snapshot_id)  # which names rows of the same table

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; one of a command gets our code location, so that the pages show it.

        An automatic one gets the tag by which a pause keeps it in the queue.
        """
        return super().add_run(mark_automatic(self._instance, add_origin(dagster_run)))

    def handle_run_event(
        self, run_id: str, event: DagsterEvent, update_timestamp: dt.datetime | None = None
    ) -> None:
        """Update the run of an event, announce it to the queue, and measure what the run uses.

        A run that has failed, as it was beyond its maximum runtime, stays so when its process says later that
        it was told to end.
        """
        if event.event_type == DagsterEventType.RUN_CANCELED and self._has_failed(run_id):
            return
        super().handle_run_event(run_id, event, update_timestamp)
        if event.event_type in CHANGES:
            with self.connect() as connection:
                announce_change(connection)
        note_run_event(run_id, event.event_type)
        if event.event_type == DagsterEventType.RUN_START and settings().scale:
            self.add_run_tags(run_id, {HOST_TAG: socket.gethostname()})

    def _has_failed(self, run_id: str) -> bool:
        failed = RunsFilter(run_ids=[run_id], statuses=[DagsterRunStatus.FAILURE])
        return self.get_runs_count(failed) > 0


class HomeScheduleStorage(PooledStorage, PostgresScheduleStorage):
    """Schedules and sensors in the home's Postgres."""


def _has_tables() -> bool:
    """Return whether Dagster's tables exist, in one query for all its storages.

    It includes the table that is created last, so that an unfinished creation is waited for.
    """
    with pool().connect() as connection:
        return bool(connection.scalar(_TABLES_ARE_THERE))


class HomeStorage(Unconfigured, DagsterStorage, ConfigurableClass):
    """Dagster's storage of this home; its address comes from the home, so dagster.yaml has no secret."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        refuse_other_version()
        address = databases().dagster.uri.get_secret_value()
        if _has_tables():
            self._open(address, autocreate=False)
        else:
            lock = exclusive(layout(settings()).run / "dagster.lock", doing="creating Dagster's tables")
            with lock, create_in_one_transaction():
                self._open(address, autocreate=True)
        for storage in (self._runs, self._events, self._schedules):
            use_engine(storage, pool())
        super().__init__()  # type: ignore[no-untyped-call]

    def _open(self, address: str, *, autocreate: bool) -> None:
        self._runs = HomeRunStorage(address, autocreate)
        self._events = RefEventLogStorage(address, self._runs, autocreate)
        self._schedules = HomeScheduleStorage(address, autocreate)

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The content of dagster.yaml."""
        return self._inst_data

    @property
    def run_storage(self) -> HomeRunStorage:
        """Runs."""
        return self._runs

    @property
    def event_log_storage(self) -> RefEventLogStorage:
        """Events."""
        return self._events

    @property
    def schedule_storage(self) -> HomeScheduleStorage:
        """Schedules and sensors."""
        return self._schedules

    @property
    def run_storage_data(self) -> ConfigurableClassData | None:
        """None: this class has the storage."""
        return None

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        """None: this class has the storage."""
        return None

    @property
    def schedule_storage_data(self) -> ConfigurableClassData | None:
        """None: this class has the storage."""
        return None
