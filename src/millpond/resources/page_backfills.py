"""Backfills launched in Dagster's pages: what they make, in how few runs, and what counts as done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster import AssetKey, DagsterInstance

from millpond.internals.dagster import CODE_VERSION_TAG, AssetGraphSubset, BaseAssetGraph
from millpond.internals.dagster_on_demand import PartitionBackfill


def launch_in_few_runs() -> None:
    """Have the web server of this process plan each backfill over days with `with_few_runs`."""
    own = PartitionBackfill.from_asset_partitions

    def planned(**given: Any) -> PartitionBackfill:
        backfill, names = own(**given), given["partition_names"]
        if not names:
            return backfill
        queryer = given["dynamic_partitions_store"]
        return with_few_runs(backfill, names, given["asset_graph"], queryer.instance)

    PartitionBackfill.from_asset_partitions = staticmethod(planned)  # type: ignore[assignment,method-assign]


def with_few_runs(
    backfill: PartitionBackfill, days: Sequence[str], graph: BaseAssetGraph[Any], instance: DagsterInstance
) -> PartitionBackfill:
    """Return `backfill` with each asset to be made for `days` and no others, so that one run makes them all.

    Dagster adds the days after them for a model that looks back, and then makes that model and its readers
    in a second run. They need no run: whatever makes a day makes those after it again that were made before.

    An asset that is made from nothing and whose code is still the one it was made by is left out where daily
    models read it. Dagster makes it in a run of its own, and those models only after it, in another one.
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
    whole = data.target_subset.non_partitioned_asset_keys
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
        asset_selection=[key for key in backfill.asset_selection or () if key not in same],
        description=backfill.description or (f"Left out, since unchanged: {names}" if names else None),
    )


def _is_unchanged(key: AssetKey, graph: BaseAssetGraph[Any], instance: DagsterInstance) -> bool:
    """Return whether an asset that is made from nothing would only be made again as it is."""
    node = graph.get(key)
    if node.parent_keys or node.code_version is None:
        return False
    event = instance.get_latest_materialization_event(key)
    made = event.asset_materialization if event else None
    return made is not None and (made.tags or {}).get(CODE_VERSION_TAG) == node.code_version


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
