"""Dagster's event log, written in fewer statements: runs here are short and touch thousands of partitions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import EventLogEntry, serialize_value
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from millpond.internals.dagster import ASSET_CHECK_EVENTS, ASSET_EVENTS, AssetCheckExecutionRecordStatus
from millpond.internals.dagster_on_demand import (
    AssetCheckExecutionsTable,
    ConcurrencyLimitsTable,
    SqlEventLogStorageTable,
)
from millpond.resources.connections import Pooled
from millpond.resources.record import is_indexed
from millpond.resources.waiting_events import WaitingEvents, can_wait


class HomeEventLogStorage(Pooled, PostgresEventLogStorage):
    """Events, in the home's Postgres; a batch is one transaction, an event that can wait joins the next.

    Dagster 1.13 takes several connections and commits for each event, and inserts only materializations in
    batches: the planned ones of a year of days take it 20 times as long.
    """

    def __init__(self, postgres_url: str, autocreate: bool) -> None:
        self._seen_names: set[str] = set()
        self._held = threading.local()
        self._waiting = WaitingEvents(self._store)
        super().__init__(postgres_url, autocreate)

    @property
    def can_store_asset_failure_events(self) -> bool:
        """Days that were skipped are stored, see `unreachable`; Dagster 1.13 itself makes no such events."""
        return True

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, at once or with the next that cannot wait, without Dagster's NOTIFY."""
        if can_wait(event):
            self._waiting.add(event)
        else:
            self._waiting.flush([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run, in their order; rows and asset records equal those of `store_event`.

        Days that were skipped are among them, which Dagster 1.13 leaves out of batches.
        """
        self._waiting.flush(events)

    def dispose(self) -> None:
        """Store what waits, then let go of the connections."""
        self._waiting.flush()
        super().dispose()

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        statement = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self._one_transaction() as connection:
            ids = connection.execute(statement, [self._event_to_row(e) for e in events]).scalars()
            stored = list(zip(events, ids, strict=True))
            of_assets = [(e, i) for e, i in stored if _of_asset(e)]
            self._store_asset_event_tags(connection, [e for e, _ in of_assets], [i for _, i in of_assets])
            last = {e.get_dagster_event().asset_key: (e, i) for e, i in of_assets}
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
            for event, event_id in stored:
                if _of_check(event):
                    self.store_asset_check_event(event, event_id)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Note that a check is planned for each day of a run: Dagster writes the event out anew for each."""
        planned: Any = event.get_dagster_event().event_specific_data
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            "evaluation_event_storage_id": event_id,
        }
        subset = planned.partitions_subset
        days = subset.get_partition_keys() if subset else [None]
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [row | {"partition": day} for day in days])

    def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
        """Return the tags that are kept by row: Dagster's choice, and what backfills are planned by."""
        return super().get_asset_tags_to_index(tag_keys) | set(filter(is_indexed, tag_keys))

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give a pool the default size, also where other runs do so at the same moment.

        Dagster 1.13 goes on in a transaction that Postgres has aborted, so that all runs but the first fail.
        """
        size = self._instance.global_op_concurrency_default_limit
        if size is None:
            return super().initialize_concurrency_limit_to_default(concurrency_key)
        limits = ConcurrencyLimitsTable.c
        wanted = {
            limits.concurrency_key: concurrency_key,
            limits.limit: size,
            limits.using_default_limit: True,
        }
        upsert = insert(ConcurrencyLimitsTable).values(wanted)
        with self.index_transaction() as connection:
            # The row stays locked until the slots are there.
            connection.execute(
                upsert.on_conflict_do_update(
                    index_elements=[limits.concurrency_key],
                    set_={limits.limit: size},
                    where=limits.using_default_limit,
                )
            )
            self._allocate_concurrency_slots(connection, concurrency_key, size)
        return True

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

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Yield the connection of this thread's transaction if it is in one, else one from the pool.

        Who reads finds all that was written before.
        """
        if held := getattr(self._held, "connection", None):
            yield held
        else:
            self._waiting.flush()
            with super()._connect() as connection:
                yield connection

    @contextmanager
    def _one_transaction(self) -> Iterator[Connection]:
        with super()._connect() as free:
            connection = free.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                self._held.connection = connection
                try:
                    yield connection
                finally:
                    self._held.connection = None


def _of_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type in ASSET_CHECK_EVENTS


def _of_asset(event: EventLogEntry) -> bool:
    found = event.dagster_event
    return event.dagster_event_type in ASSET_EVENTS and found is not None and found.asset_key is not None
