"""Backfills of `millpond backfill` among those that Dagster's pages list.

They are read from their ledger when a page asks, in the process that serves the pages and in no other:
Dagster's daemon does not see them, so that it can neither carry them out nor end them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dagster_postgres import PostgresRunStorage

from millpond.errors import ConfigError
from millpond.internals.dagster import copy_record, datetime_from_timestamp
from millpond.internals.dagster_on_demand import BulkActionsFilter, BulkActionStatus, PartitionBackfill


class Records(Protocol):
    """What knows the backfills of commands."""

    def find(self, wanted: BulkActionsFilter, limit: int | None = None) -> Sequence[PartitionBackfill]:
        """Return those that match, the newest first, as Dagster's pages show them."""
        ...

    def count(self, wanted: BulkActionsFilter) -> int:
        """Return how many match."""
        ...

    def stop(self, backfill_id: str) -> None:
        """Have one stop; returns at once."""
        ...


_shown: list[Records] = []


def show_backfills(records: Records | None) -> None:
    """Have this process list the backfills that `records` knows among Dagster's own; None: no longer."""
    _shown[:] = [records] if records else []


class CommandBackfills(PostgresRunStorage):
    """A storage that lists Dagster's own backfills, and those of commands where `show_backfills` said so."""

    def get_backfills(
        self,
        filters: BulkActionsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        status: BulkActionStatus | None = None,
    ) -> Sequence[PartitionBackfill]:
        """Return the backfills that match and are older than the one with id `cursor`, the newest first."""
        if not _shown:
            return super().get_backfills(filters, cursor, limit, status)
        ours = theirs = filters or BulkActionsFilter(statuses=[status] if status else None)
        last = self.get_backfill(cursor) if cursor else None
        if last:
            ours = _before(ours, last)
            if _command_backfill(last.backfill_id):
                theirs, cursor = ours, None
        found = [*super().get_backfills(theirs, cursor, limit), *_shown[0].find(ours, limit)]
        return sorted(found, key=lambda backfill: backfill.backfill_timestamp, reverse=True)[:limit]

    def get_backfills_count(self, filters: BulkActionsFilter | None = None) -> int:
        """Return how many backfills match."""
        ours = _shown[0].count(filters or BulkActionsFilter()) if _shown else 0
        return super().get_backfills_count(filters) + ours

    def get_backfill(self, backfill_id: str) -> PartitionBackfill | None:
        """Return a backfill by its id."""
        return super().get_backfill(backfill_id) or _command_backfill(backfill_id)

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store how a backfill stands; one of a command can be asked to stop, and nothing else.

        Raises ConfigError where a page would have Dagster go on with it.
        """
        backfill = partition_backfill.backfill_id
        if not _command_backfill(backfill):
            super().update_backfill(partition_backfill)
        elif partition_backfill.status == BulkActionStatus.CANCELING:
            _shown[0].stop(backfill)
        else:
            raise ConfigError(
                f"backfill {backfill} was started by `millpond backfill`; Dagster cannot go on with it",
                unharmed="everything; nothing was begun",
                next_step=f"`millpond backfill --resume {backfill}` runs what is left",
            )


def _command_backfill(backfill_id: str) -> PartitionBackfill | None:
    if not _shown:
        return None
    return next(iter(_shown[0].find(BulkActionsFilter(backfill_ids=[backfill_id]))), None)


def _before(filters: BulkActionsFilter, backfill: PartitionBackfill) -> BulkActionsFilter:
    started = datetime_from_timestamp(backfill.backfill_timestamp)
    earlier = min(filters.created_before, started) if filters.created_before else started
    return copy_record(filters, created_before=earlier)
