"""Dagster's event log with fewer statements: events that can wait share a transaction."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import itemgetter
from typing import Any

from dagster import AssetKey, DagsterEventType, EventLogEntry, EventRecordsResult
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from millpond.instance.check_rows import UPDATE_RESULT, list_planned, make_result
from millpond.instance.connections import PooledStorage
from millpond.instance.event_buffer import EventBuffer, can_wait
from millpond.instance.pool_slots import PoolSlots
from millpond.instance.record import is_indexed
from millpond.internals.dagster import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    AssetRecord,
    ConcurrencyClaimStatus,
)
from millpond.internals.dagster_on_demand import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    ConcurrencyLimitsTable,
    SqlEventLogStorageTable,
)


class HomeEventLogStorage(PooledStorage, PoolSlots):
    """Events in the home's Postgres; a batch is one transaction, and waiting events join the next one.

    Dagster 1.13 uses several connections and commits for each event, and batches only materializations: the
    planned ones of a year of days take it 20 times as long.
    """

    def __init__(self, postgres_url: str, autocreate: bool) -> None:
        self._held = threading.local()
        self._waiting = EventBuffer(self._store)
        super().__init__(postgres_url, autocreate)

    @property
    def can_store_asset_failure_events(self) -> bool:
        """True: skipped days are stored, see `unreachable`; Dagster 1.13 itself makes no such events."""
        return True

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, at once or with the next one that cannot wait, without Dagster's NOTIFY."""
        if can_wait(event):
            self._waiting.add(event)
        else:
            self._waiting.flush([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run in order; the rows equal those of `store_event`.

        This includes skipped days, which Dagster 1.13 leaves out of batches.
        """
        self._waiting.flush(events)

    def dispose(self) -> None:
        """Store the waiting events, then close the connections."""
        self._waiting.flush()
        super().dispose()

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        statement = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        rows = [self._event_to_row(e) for e in events]
        with self._one_transaction() as connection:
            ids = list(connection.execute(statement, rows).scalars())
            of_assets = [(e, i) for e, i in zip(events, ids, strict=True) if _is_of_asset(e)]
            self._store_asset_event_tags(connection, [e for e, _ in of_assets], [i for _, i in of_assets])
            last = {e.get_dagster_event().asset_key: (e, i) for e, i in of_assets}
            self._store_assets(connection, last.values())
            of_checks = [
                (e, i, row["event"])
                for e, i, row in zip(events, ids, rows, strict=True)
                if _is_of_check(e) and self.defines_state(e)
            ]
            self._store_checks(connection, of_checks)

    def defines_state(self, event: EventLogEntry) -> bool:  # noqa: ARG002
        """Return whether the event of a check defines the state of the check."""
        return True

    def _store_assets(self, connection: Connection, events: Iterable[tuple[EventLogEntry, int]]) -> None:
        """Update the assets of these events, in one statement for all that change the same columns."""
        indexed, rows = self._has_asset_key_index_cols_on_connection(connection), defaultdict(list)
        for event, event_id in events:
            values = self._get_asset_entry_values(event, event_id, indexed)
            key = event.get_dagster_event().asset_key
            assert key
            rows[tuple(values)].append({"asset_key": key.to_string(), **values})
        for columns, of_assets in rows.items():
            upsert = insert(AssetKeyTable).values(sorted(of_assets, key=itemgetter("asset_key")))
            changed = {name: upsert.excluded[name] for name in columns}
            key_alone = [AssetKeyTable.c.asset_key]
            connection.execute(
                upsert.on_conflict_do_update(index_elements=key_alone, set_=changed)
                if changed
                else upsert.on_conflict_do_nothing()
            )

    def _store_checks(self, connection: Connection, events: Sequence[tuple[EventLogEntry, int, str]]) -> None:
        """Record planned checks and results; without a row of its plan a result is stored as Dagster does."""
        planned, results = [], []
        for event, event_id, body in events:
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                planned += list_planned(event, event_id, body)
            else:
                results.append((event, event_id, body))
        if planned:
            connection.execute(AssetCheckExecutionsTable.insert(), planned)
        if len(results) > 1 and all(event.run_id for event, *_ in results):
            rows = [make_result(*each) for each in results]
            if connection.execute(UPDATE_RESULT, rows).rowcount == len(rows):
                return
        for event, event_id, _ in results:
            self.store_asset_check_event(event, event_id)

    def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
        """Return the tags that are indexed: Dagster's own, and those that backfills are planned by."""
        return super().get_asset_tags_to_index(tag_keys) | set(filter(is_indexed, tag_keys))

    def has_table(self, table_name: str) -> bool:
        """Return whether the table exists; cached once it does, as Dagster asks for each event."""
        return self.includes(table_name, held=self._get_held())

    def has_asset_key_col(self, column_name: str) -> bool:
        """Return whether the table of assets has the column; needs no connection once it has."""
        return self.includes(AssetKeyTable.name, column_name, self._get_held())

    @cached_property
    def has_default_pool_limit_col(self) -> bool:
        """Whether the limits of pools may be the default one."""
        return self.includes(ConcurrencyLimitsTable.name, "using_default_limit", self._get_held())

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Return whether the table of assets has the column; cached once it has (27 calls per run)."""
        return self.includes(AssetKeyTable.name, column_name, conn)

    def _get_held(self) -> Connection | None:
        """Return the connection of the block that this thread is in, see `asset_connection`."""
        held: Connection | None = getattr(self._held, "connection", None)
        return held

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Yield the connection that this thread holds, else one from the pool.

        Waiting events are stored first, so that reads see them.
        """
        if held := self._get_held():
            yield held
        else:
            self._waiting.flush()
            with super()._connect() as connection:
                yield connection

    @contextmanager
    def asset_connection(self) -> Iterator[Connection]:
        """Yield the connection of all statements in the block, which read or change no event that may wait.

        These are the state of assets and pools: events that can wait leave it as it is.
        """
        if held := self._get_held():
            yield held
            return
        with super()._connect() as connection:
            self._held.connection = connection
            try:
                yield connection
            finally:
                self._held.connection = None

    def get_asset_records(self, asset_keys: Sequence[AssetKey] | None = None) -> Sequence[AssetRecord]:
        """Return what is recorded of assets."""
        with self.asset_connection():
            return super().get_asset_records(asset_keys)

    def get_latest_materialization_events(
        self, asset_keys: Iterable[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Return the latest materialization of each asset."""
        with self.asset_connection():
            return super().get_latest_materialization_events(asset_keys)

    def fetch_materializations(self, *given: Any, **named: Any) -> EventRecordsResult:
        """Return matching materializations."""
        with self.asset_connection():
            return super().fetch_materializations(*given, **named)

    def fetch_observations(self, *given: Any, **named: Any) -> EventRecordsResult:
        """Return matching observations."""
        with self.asset_connection():
            return super().fetch_observations(*given, **named)

    def get_latest_storage_id_by_partition(self, *given: Any, **named: Any) -> Mapping[str, int]:
        """Return the id of the latest event of each partition."""
        with self.asset_connection():
            return super().get_latest_storage_id_by_partition(*given, **named)

    def get_latest_tags_by_partition(self, *given: Any, **named: Any) -> Mapping[str, Mapping[str, str]]:
        """Return the tags of the latest event of each partition."""
        with self.asset_connection():
            return super().get_latest_tags_by_partition(*given, **named)

    def claim_concurrency_slot(self, *given: Any, **named: Any) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool for a step."""
        with self.asset_connection():
            return super().claim_concurrency_slot(*given, **named)

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        """Free the slots of a step."""
        with self.asset_connection():
            super().free_concurrency_slot_for_step(run_id, step_key)

    @contextmanager
    def _one_transaction(self) -> Iterator[Connection]:
        with super()._connect() as free:
            connection = free.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                before = getattr(self._held, "connection", None)
                self._held.connection = connection
                try:
                    yield connection
                finally:
                    self._held.connection = before


def _is_of_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type in ASSET_CHECK_EVENTS


def _is_of_asset(event: EventLogEntry) -> bool:
    found = event.dagster_event
    return event.dagster_event_type in ASSET_EVENTS and found is not None and found.asset_key is not None
