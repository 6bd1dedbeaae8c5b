"""Dagster's storage in the home: Postgres that starts on demand, logs and files below the home."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg2
from dagster import DagsterInstance
from dagster._core.events import ASSET_CHECK_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy import Connection, Engine, create_engine

from millpond.runtime.databases import databases
from millpond.runtime.home import layout
from millpond.runtime.locks import exclusive
from millpond.settings import settings

EVENT_BATCH = 500
"""Events of one run that are written together; Dagster's own default is to write each alone."""

_KEPT_CONNECTIONS = 3
_RECYCLE_SECONDS = 600


class HomeInstance(DagsterInstance):
    """Dagster's instance, with events written in batches.

    Stands for the environment variable DAGSTER_EVENT_BATCH_SIZE, which each process would need.
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


class _Pooled:
    """A storage whose connections are pooled, in the webserver and everywhere else."""

    _engine: Engine

    def optimize_for_webserver(
        self,
        statement_timeout: int,
        pool_recycle: int,  # noqa: ARG002
        max_overflow: int,  # noqa: ARG002
    ) -> None:
        """Bound each statement to `statement_timeout` milliseconds."""
        self._engine = _engine(statement_timeout)


class HomeRunStorage(_Pooled, PostgresRunStorage):
    """Runs, in the home's Postgres."""


class HomeScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Schedules and sensors, in the home's Postgres."""


class HomeEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Events, in the home's Postgres; a batch is one insert, whatever it holds.

    Dagster 1.13 inserts a batch of materializations at once but planned ones one by one, each on
    connections of their own: 20 times slower for a year of days.
    """

    def __init__(self, postgres_url: str) -> None:
        self._seen_names: set[str] = set()
        super().__init__(postgres_url)

    def has_table(self, table_name: str) -> bool:
        """Return whether the table is there; remembered once it is (Dagster asks for each event)."""
        return self._seen(table_name, lambda: super(HomeEventLogStorage, self).has_table(table_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Return whether the table of assets has the column; remembered once it has (27 times a run)."""
        found = super()._has_asset_key_col_on_connection
        return self._seen(f"asset_keys.{column_name}", lambda: found(conn, column_name))

    def _seen(self, name: str, look: Callable[[], bool]) -> bool:
        if name not in self._seen_names and look():
            self._seen_names.add(name)
        return name in self._seen_names

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run, in their order; rows and asset records equal those of `store_event`."""
        kept = [e for e in events if not e.get_dagster_event().is_asset_failed_to_materialize]
        if not kept:
            return
        insert = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self.index_transaction() as connection:
            ids = list(connection.execute(insert, [self._event_to_row(e) for e in kept]).scalars())
            of_assets = [(e, i) for e, i in zip(kept, ids, strict=True) if not _of_check(e)]
            last = {e.get_dagster_event().asset_key: (e, i) for e, i in of_assets}
            self._store_asset_event_tags(
                connection, *(zip(*of_assets, strict=True) if of_assets else ([], []))
            )
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
        for event, event_id in zip(kept, ids, strict=True):
            if _of_check(event):
                self.store_asset_check_event(event, event_id)


class HomeStorage(DagsterStorage, ConfigurableClass):
    """Dagster's storage of this home; its address comes from the home, so dagster.yaml holds no secret."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        address = databases().dagster.uri.get_secret_value()
        home = layout(settings())
        with exclusive(home.run / "dagster.lock", doing="making Dagster's tables"):
            self._runs = HomeRunStorage(address)
            self._events = HomeEventLogStorage(address)
            self._schedules = HomeScheduleStorage(address)
        for storage in (self._runs, self._events, self._schedules):
            storage._engine = _engine()
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml says."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what may be configured: nothing."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> HomeStorage:
        """Return the storage; Dagster calls this."""
        return cls(inst_data, **config_value)

    @property
    def run_storage(self) -> HomeRunStorage:
        """Runs."""
        return self._runs

    @property
    def event_log_storage(self) -> HomeEventLogStorage:
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


class HomeComputeLogs(LocalComputeLogManager):
    """What steps print, in files below the home."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(str(layout(settings()).dagster / "storage"), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what may be configured: nothing."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> HomeComputeLogs:
        """Return the log manager; Dagster calls this."""
        return cls(inst_data, **config_value)


class HomeArtifacts(LocalArtifactStorage):
    """Where Dagster puts files of its own, below the home."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(str(layout(settings()).dagster), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what may be configured: nothing."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> HomeArtifacts:
        """Return the storage; Dagster calls this."""
        return cls(inst_data, **config_value)


def _of_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type in ASSET_CHECK_EVENTS


@lru_cache(4)
def _engine(statement_timeout: int | None = None) -> Engine:
    """Return this process's pool of connections; a run of Dagster takes hundreds, one after another."""

    def connect() -> Any:
        bound = f" -cstatement_timeout={statement_timeout}" if statement_timeout else ""
        options = f"-csearch_path={databases().dagster.search_path}{bound}"
        try:
            return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)
        except psycopg2.OperationalError:
            return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)

    return create_engine(
        "postgresql+psycopg2://",
        creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_SECONDS,
        pool_reset_on_return=None,
    )
