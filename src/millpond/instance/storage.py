"""Dagster's instance and storage: the address comes from the home, Postgres starts on demand."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Mapping
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun
from dagster_postgres import PostgresScheduleStorage
from sqlalchemy import text

from millpond.instance.backfills import CommandBackfills, limit_to_target
from millpond.instance.connections import PooledStorage, pool
from millpond.instance.containers import container_launcher
from millpond.instance.dead_runs import HOST_TAG
from millpond.instance.files import Unconfigured
from millpond.instance.home import with_origin
from millpond.instance.pause import hold_at_launch, hold_queued, mark_automatic, read_pause, with_pause
from millpond.instance.ref_events import RefEventLogStorage
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
"""Events of one run that are written together; Dagster's own default is to write each alone."""
_TABLES_ARE_THERE = text(
    "SELECT bool_and(to_regclass(name) IS NOT NULL)"
    " FROM unnest(ARRAY['runs', 'instance_info', 'event_logs', 'jobs']) AS name"
)


class HomeInstance(DagsterInstance):
    """Dagster's instance, with events written in batches and runs launched as the settings say.

    The batches stand for the environment variable DAGSTER_EVENT_BATCH_SIZE, which each process would need.
    """

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Return what dagster.yaml may say beyond Dagster's own keys: nothing."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Return Dagster's own defaults."""
        return InstanceRef.config_defaults(base_dir)

    def _get_event_batch_size(self) -> int:
        return EVENT_BATCH

    @property
    def run_launcher(self) -> RunLauncher:
        """What starts runs: containers if the settings say so, else what dagster.yaml names, or processes."""
        if self._run_launcher is None and settings().run_launcher == "docker":
            launcher = container_launcher()
            launcher.register_instance(self)
            self._run_launcher = launcher
        return hold_at_launch(self, super().run_launcher)

    def add_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store the switch of a schedule or sensor that is new here; off while the home is paused."""
        return super().add_instigator_state(with_pause(self, state))

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store the switch of a schedule or sensor; while the home is paused, code switches none on."""
        return super().update_instigator_state(with_pause(self, state))

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Store tags of a run; while the home is paused, none says that the run is to be repeated."""
        if new_tags.get(WILL_RETRY_TAG) == "true" and read_pause(self) is not None:
            new_tags = {**new_tags, WILL_RETRY_TAG: "false"}
        super().add_run_tags(run_id, new_tags)

    def get_concurrency_config(self) -> ConcurrencyConfig:
        """Return which runs may leave the queue, as Dagster's daemon asks before it starts some."""
        return hold_queued(self, super().get_concurrency_config())

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store how a backfill of the pages stands; it counts what it was asked for, and no day beyond."""
        super().update_backfill(limit_to_target(partition_backfill))


class HomeRunStorage(PooledStorage, CommandBackfills):
    """Runs, in the home's Postgres; one that starts where several hosts take part notes on which it does."""

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; one that a command began gets our code location, so that the pages show it.

        One that no person asked for gets the tag by which a pause keeps it in the queue.
        """
        return super().add_run(mark_automatic(self._instance, with_origin(dagster_run)))

    def handle_run_event(
        self, run_id: str, event: DagsterEvent, update_timestamp: dt.datetime | None = None
    ) -> None:
        """Note what an event means for its run."""
        super().handle_run_event(run_id, event, update_timestamp)
        if event.event_type == DagsterEventType.RUN_START and settings().scale:
            self.add_run_tags(run_id, {HOST_TAG: socket.gethostname()})


class HomeScheduleStorage(PooledStorage, PostgresScheduleStorage):
    """Schedules and sensors, in the home's Postgres."""


def _has_tables() -> bool:
    """Return whether Dagster's tables are there; each of its storages asks with a connection of its own.

    The last of them is among those looked for, so that what is half made is waited for.
    """
    with pool().connect() as connection:
        return bool(connection.scalar(_TABLES_ARE_THERE))


class HomeStorage(Unconfigured, DagsterStorage, ConfigurableClass):
    """Dagster's storage of this home; its address comes from the home, so dagster.yaml holds no secret."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        refuse_other_version()
        address = databases().dagster.uri.get_secret_value()
        if _has_tables():
            self._open(address, autocreate=False)
        else:
            with exclusive(layout(settings()).run / "dagster.lock", doing="making Dagster's tables"):
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
        """What dagster.yaml says."""
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
        """None: Dagster then asks this class."""
        return None

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        """None: Dagster then asks this class."""
        return None

    @property
    def schedule_storage_data(self) -> ConfigurableClassData | None:
        """None: Dagster then asks this class."""
        return None
