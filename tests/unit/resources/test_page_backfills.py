"""What a backfill of Dagster's pages counts as done."""

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from millpond.instance.backfills import limit_to_target

DAYS = dg.DailyPartitionsDefinition("2026-10-01")
READINGS, MART, CALENDAR = (dg.AssetKey(name) for name in ("fct_climate_readings", "mart", "dim_date"))

NOTHING = AssetGraphSubset.create_empty_subset()  # mypy takes its constructor for another


def subset(days: list[int], whole: set[dg.AssetKey]) -> AssetGraphSubset:
    keys = DAYS.subset_with_partition_keys([f"2026-10-{day:02}" for day in days])
    empty = AssetGraphSubset.create_empty_subset()
    return empty._replace(partitions_subsets_by_asset_key={READINGS: keys}, non_partitioned_asset_keys=whole)


def backfill(made: AssetGraphSubset) -> PartitionBackfill:
    empty = AssetBackfillData.empty(subset([5, 6, 7], {MART, CALENDAR}), 0.0, None)  # type: ignore[arg-type]
    return PartitionBackfill(
        backfill_id="one",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=0.0,
        asset_selection=[READINGS, MART, CALENDAR],
        asset_backfill_data=empty._replace(materialized_subset=made),
    )


def counted(made: AssetGraphSubset) -> AssetGraphSubset:
    data = limit_to_target(backfill(made)).asset_backfill_data
    assert data is not None
    return data.materialized_subset


def test_the_day_after_that_a_look_back_makes_again_does_not_count_and_all_else_does() -> None:
    assert counted(subset([5, 6, 7, 8], {MART, CALENDAR})) == subset([5, 6, 7], {MART, CALENDAR})
    assert counted(subset([6, 8], {MART})) == subset([6], {MART})
    assert counted(NOTHING) == NOTHING


def test_a_backfill_of_a_job_is_left_as_it_is() -> None:
    of_a_job = backfill(NOTHING)._replace(asset_backfill_data=None)
    assert limit_to_target(of_a_job) is of_a_job
