"""Backfills that are launched in Dagster's pages: what they count as done."""

from __future__ import annotations

from dagster._core.execution.backfill import PartitionBackfill


def within_target(backfill: PartitionBackfill) -> PartitionBackfill:
    """Return `backfill` with nothing counted as done beyond what it is to make.

    A model that looks back makes the day after its window again, in the same run. Dagster counts what the
    runs of a backfill made, and so would say that more than all is done.
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
