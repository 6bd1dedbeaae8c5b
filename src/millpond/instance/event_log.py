"""Dagster's event log with fewer statements: events that can wait share a transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from dagster import AssetKey, EventLogEntry, EventRecordsResult
from sqlalchemy import Connection

from millpond.instance.connections import PooledStorage
from millpond.instance.event_buffer import EventBuffer, can_wait
from millpond.instance.event_rows import is_of_check, make_statement
from millpond.instance.input_reads import read_inputs, read_newest
from millpond.instance.pool_slots import PoolSlots
from millpond.instance.prepared import execute
from millpond.instance.record import is_indexed
from millpond.internals.dagster import (
    AssetRecord,
    ConcurrencyClaimStatus,
    read_states_at_once,
)
from millpond.internals.dagster_frame import share_empty_resources, spare_events
from millpond.internals.dagster_on_demand import AssetKeyTable, ConcurrencyLimitsTable

read_states_at_once(read_inputs, read_newest)
share_empty_resources()
spare_events()


class HomeEventLogStorage(PooledStorage, PoolSlots):
    """Events in the home's Postgres; a batch is one statement, and waiting events join the next one.

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
        statement, values = make_statement(
            events,
            [self._event_to_row(event) for event in events],
            [self._tags_for_asset_event(event) for event in events],
            [is_of_check(event) and self.defines_state(event) for event in events],
        )
        with super()._connect() as connection:  # which commits each statement by itself
            execute(connection, statement, values)

    def defines_state(self, event: EventLogEntry) -> bool:  # noqa: ARG002
        """Return whether the event of a check defines the state of the check."""
        return True

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
