"""Dagster's event log with fewer statements: events that can wait share a transaction."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter

from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from millpond.instance.check_rows import UPDATE_RESULT, list_planned, make_result
from millpond.instance.connections import PooledStorage
from millpond.instance.record import is_indexed
from millpond.internals.dagster import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    coerce_valid_log_level,
)
from millpond.internals.dagster_on_demand import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    ConcurrencyLimitsTable,
    SqlEventLogStorageTable,
)
from millpond.runtime.clock import Clock

LONGEST_WAIT = 0.2
"""Seconds after which a waiting event is stored."""

_CAN_WAIT = frozenset(
    {
        DagsterEventType.STEP_START,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.ENGINE_EVENT,
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
        DagsterEventType.LOGS_CAPTURED,
    }
)
"""Kinds that only report progress. Materializations, failures and ends of runs do not wait."""


def can_wait(event: EventLogEntry) -> bool:
    """Return whether an event may be stored a moment later, together with others; log lines may."""
    if event.dagster_event is None:
        return coerce_valid_log_level(event.level) < logging.ERROR
    return event.dagster_event_type in _CAN_WAIT


class EventBuffer:
    """Keeps events in order until they are stored; thread-safe."""

    def __init__(self, store: Callable[[Sequence[EventLogEntry]], None]) -> None:
        self._store = store
        self._events: list[EventLogEntry] = []
        self._lock = threading.RLock()
        atexit.register(_flush_late, weakref.ref(self))

    def add(self, event: EventLogEntry) -> None:
        """Add an event; it is stored within LONGEST_WAIT seconds."""
        with self._lock:
            self._events.append(event)
            if len(self._events) == 1:
                _clock.call_after(LONGEST_WAIT, partial(_flush_late, weakref.ref(self)))

    def flush(self, then: Sequence[EventLogEntry] = ()) -> None:
        """Store the waiting events, then the events `then`, in one transaction.

        If that fails, each is stored separately, so that an invalid one does not block others; raises the
        first error.
        """
        with self._lock:
            events, self._events = [*self._events, *then], []
            if events:
                self._store_each(events)

    def _store_each(self, events: Sequence[EventLogEntry]) -> None:
        try:
            self._store(events)
        except Exception as error:
            if len(events) == 1:
                raise
            first: Exception | None = None
            for event in events:
                try:
                    self._store([event])
                except Exception as alone:  # noqa: BLE001
                    first = first or alone
            if first is not None:
                raise first from error


def _flush_late(waiting: weakref.ref[EventBuffer]) -> None:
    try:
        if there := waiting():
            there.flush()
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"events of a run could not be stored: {error}\n")


_clock = Clock("waiting-events")


class HomeEventLogStorage(PooledStorage, PostgresEventLogStorage):
    """Events in the home's Postgres; a batch is one transaction, and waiting events join the next one.

    Dagster 1.13 uses several connections and commits for each event, and batches only materializations: the
    planned ones of a year of days take it 20 times as long.
    """

    def __init__(self, postgres_url: str, autocreate: bool) -> None:
        self._seen_names: set[str] = set()
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
        with self._one_transaction() as connection:
            ids = connection.execute(statement, [self._event_to_row(e) for e in events]).scalars()
            stored = list(zip(events, ids, strict=True))
            of_assets = [(e, i) for e, i in stored if _is_of_asset(e)]
            self._store_asset_event_tags(connection, [e for e, _ in of_assets], [i for _, i in of_assets])
            last = {e.get_dagster_event().asset_key: (e, i) for e, i in of_assets}
            self._store_assets(connection, last.values())
            of_checks = [(e, i) for e, i in stored if _is_of_check(e) and self.defines_state(e)]
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

    def _store_checks(self, connection: Connection, events: Sequence[tuple[EventLogEntry, int]]) -> None:
        """Record planned checks and results; without a row of its plan a result is stored as Dagster does."""
        planned, results = [], []
        for event, event_id in events:
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                planned += list_planned(event, event_id)
            else:
                results.append((event, event_id))
        if planned:
            connection.execute(AssetCheckExecutionsTable.insert(), planned)
        if len(results) > 1 and all(event.run_id for event, _ in results):
            rows = [make_result(event, event_id) for event, event_id in results]
            if connection.execute(UPDATE_RESULT, rows).rowcount == len(rows):
                return
        for event, event_id in results:
            self.store_asset_check_event(event, event_id)

    def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
        """Return the tags that are indexed: Dagster's own, and those that backfills are planned by."""
        return super().get_asset_tags_to_index(tag_keys) | set(filter(is_indexed, tag_keys))

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give a pool the default size; safe when several runs do so at once.

        Dagster 1.13 continues in a transaction that Postgres has aborted, so that all runs but the first
        fail.
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
            # The row stays locked until the slots exist.
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
        """Return whether the table exists; cached once it does, as Dagster asks for each event."""
        return self._exists(table_name, lambda: super(HomeEventLogStorage, self).has_table(table_name))

    def has_asset_key_col(self, column_name: str) -> bool:
        """Return whether the table of assets has the column; needs no connection once it has."""
        return self._exists(
            f"asset_keys.{column_name}",
            lambda: super(HomeEventLogStorage, self).has_asset_key_col(column_name),
        )

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Return whether the table of assets has the column; cached once it has (27 calls per run)."""
        found = super()._has_asset_key_col_on_connection
        return self._exists(f"asset_keys.{column_name}", lambda: found(conn, column_name))

    def _exists(self, name: str, look: Callable[[], bool]) -> bool:
        if name not in self._seen_names and look():
            self._seen_names.add(name)
        return name in self._seen_names

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Yield the connection of this thread's transaction, else one from the pool.

        Waiting events are stored first, so that reads see them.
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


def _is_of_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type in ASSET_CHECK_EVENTS


def _is_of_asset(event: EventLogEntry) -> bool:
    found = event.dagster_event
    return event.dagster_event_type in ASSET_EVENTS and found is not None and found.asset_key is not None
