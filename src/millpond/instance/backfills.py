"""Backfills in Dagster's pages: those launched there take few runs, those of `millpond backfill` are listed.

The latter are read from the ledger on each request, and only in the process that serves the pages: Dagster's
daemon does not see them, so it can neither execute nor end them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dagster import AssetKey, DagsterInstance
from dagster_postgres import PostgresRunStorage

from millpond.errors import ConfigError
from millpond.internals.dagster import (
    CODE_VERSION_TAG,
    AssetGraphSubset,
    BaseAssetGraph,
    copy_record,
    datetime_from_timestamp,
)
from millpond.internals.dagster_on_demand import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from millpond.resources.run import MAINTENANCE


class BackfillRecords(Protocol):
    """The backfills of `millpond backfill`."""

    def find(self, wanted: BulkActionsFilter, limit: int | None = None) -> Sequence[PartitionBackfill]:
        """Return matching backfills, newest first, as Dagster's records."""
        ...

    def count(self, wanted: BulkActionsFilter) -> int:
        """Return how many match."""
        ...

    def stop(self, backfill_id: str) -> None:
        """Request that a backfill stops; returns at once."""
        ...


_shown: list[BackfillRecords] = []


def show_backfills(records: BackfillRecords | None) -> None:
    """List the backfills of `records` among Dagster's own in this process; None stops that."""
    _shown[:] = [records] if records else []


class CommandBackfills(PostgresRunStorage):
    """A run storage that also lists backfills of commands, once `show_backfills` was called."""

    def get_backfills(
        self,
        filters: BulkActionsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        status: BulkActionStatus | None = None,
    ) -> Sequence[PartitionBackfill]:
        """Return matching backfills older than the one with id `cursor`, newest first."""
        if not _shown:
            return super().get_backfills(filters, cursor, limit, status)
        ours = theirs = filters or BulkActionsFilter(statuses=[status] if status else None)
        last = self.get_backfill(cursor) if cursor else None
        if last:
            ours = _limit_to_earlier(ours, last)
            if _find_command_backfill(last.backfill_id):
                theirs, cursor = ours, None
        found = [*super().get_backfills(theirs, cursor, limit), *_shown[0].find(ours, limit)]
        return sorted(found, key=lambda backfill: backfill.backfill_timestamp, reverse=True)[:limit]

    def get_backfills_count(self, filters: BulkActionsFilter | None = None) -> int:
        """Return how many backfills match."""
        ours = _shown[0].count(filters or BulkActionsFilter()) if _shown else 0
        return super().get_backfills_count(filters) + ours

    def get_backfill(self, backfill_id: str) -> PartitionBackfill | None:
        """Return a backfill by its id."""
        return super().get_backfill(backfill_id) or _find_command_backfill(backfill_id)

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store the state of a backfill; one of a command can only be stopped.

        Raises ConfigError if a page wants Dagster to continue one of a command.
        """
        backfill = partition_backfill.backfill_id
        if not _find_command_backfill(backfill):
            super().update_backfill(partition_backfill)
        elif partition_backfill.status == BulkActionStatus.CANCELING:
            _shown[0].stop(backfill)
        else:
            raise ConfigError(
                f"backfill {backfill} was started by `millpond backfill`; Dagster cannot continue it",
                unharmed="everything; nothing was started",
                next_step=f"`millpond backfill --resume {backfill}` runs what is left",
            )


def _find_command_backfill(backfill_id: str) -> PartitionBackfill | None:
    if not _shown:
        return None
    return next(iter(_shown[0].find(BulkActionsFilter(backfill_ids=[backfill_id]))), None)


def _limit_to_earlier(filters: BulkActionsFilter, backfill: PartitionBackfill) -> BulkActionsFilter:
    started = datetime_from_timestamp(backfill.backfill_timestamp)
    earlier = min(filters.created_before, started) if filters.created_before else started
    return copy_record(filters, created_before=earlier)


def launch_in_few_runs() -> None:
    """Have the web server of this process plan each backfill over days with `merge_runs`."""
    own = PartitionBackfill.from_asset_partitions

    def plan_in_few_runs(**given: Any) -> PartitionBackfill:
        backfill, names = own(**given), given["partition_names"]
        if not names:
            return backfill
        queryer = given["dynamic_partitions_store"]
        return merge_runs(backfill, names, given["asset_graph"], queryer.instance)

    PartitionBackfill.from_asset_partitions = staticmethod(plan_in_few_runs)  # type: ignore[assignment,method-assign]


def merge_runs(
    backfill: PartitionBackfill, days: Sequence[str], graph: BaseAssetGraph[Any], instance: DagsterInstance
) -> PartitionBackfill:
    """Return `backfill` with each asset limited to `days`, so that one run makes them all.

    Dagster adds later days of a model that looks back, and makes that model and what is downstream in a
    second run. This is not needed: a run that makes a day also rebuilds later days that exist and depend on
    it.

    An asset without parents whose code is unchanged is left out if daily models depend on it. Dagster would
    make it in a run of its own, and those models in another one after that. So is maintenance.
    """
    data = backfill.asset_backfill_data
    if data is None:
        return backfill
    by_key = data.target_subset.partitions_subsets_by_asset_key
    roots = {
        graph.get(key).partitions_def
        for key, subset in by_key.items()
        if set(subset.get_partition_keys()) == set(days)
    }
    asked = {
        key: subset & definition.subset_with_partition_keys(days)
        for key, subset in by_key.items()
        if (definition := graph.get(key).partitions_def) is not None and definition in roots
    }
    chosen = data.target_subset.non_partitioned_asset_keys
    chores = {key for key in chosen if by_key and MAINTENANCE in graph.get(key).metadata}
    whole = chosen - chores
    same = {
        key
        for key in whole
        if graph.get(key).child_keys & by_key.keys() and _is_unchanged(key, graph, instance)
    }
    target = AssetGraphSubset.create_empty_subset()._replace(
        partitions_subsets_by_asset_key={
            **by_key,
            **{key: subset for key, subset in asked.items() if subset},
        },
        non_partitioned_asset_keys=whole - same,
    )
    names = ", ".join(sorted(key.to_user_string() for key in same))
    return backfill._replace(
        asset_backfill_data=data._replace(target_subset=target),
        asset_selection=[key for key in backfill.asset_selection or () if key not in same | chores],
        description=backfill.description or (f"Left out because unchanged: {names}" if names else None),
    )


def _is_unchanged(key: AssetKey, graph: BaseAssetGraph[Any], instance: DagsterInstance) -> bool:
    """Return whether an asset without parents was last materialized with its current code."""
    node = graph.get(key)
    if node.parent_keys or node.code_version is None or node.tags.get("layer") == "raw":
        return False
    event = instance.get_latest_materialization_event(key)
    made = event.asset_materialization if event else None
    return made is not None and (made.tags or {}).get(CODE_VERSION_TAG) == node.code_version


def limit_to_target(backfill: PartitionBackfill) -> PartitionBackfill:
    """Return `backfill` with only its target counted as done.

    A model that looks back also rebuilds the day after its window, in the same run. Dagster counts everything
    that the runs of a backfill made, and would show more than 100 %.
    """
    data = backfill.asset_backfill_data
    if data is None:
        return backfill
    target, made = data.target_subset, data.materialized_subset
    days = {
        key: subset & target.partitions_subsets_by_asset_key[key]
        for key, subset in made.partitions_subsets_by_asset_key.items()
        if key in target.partitions_subsets_by_asset_key
    }
    whole = made.non_partitioned_asset_keys & target.non_partitioned_asset_keys
    counted = made._replace(partitions_subsets_by_asset_key=days, non_partitioned_asset_keys=whole)
    return backfill._replace(asset_backfill_data=data._replace(materialized_subset=counted))
