"""A chain of daily assets with a mart and a check, which note what they were run for and fail on demand."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg

from millpond.partitions import Window
from millpond.resources.run import RunInfo

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)


SINGLE = dg.BackfillPolicy.single_run()


WEEK = Window.of_days(dt.date(2026, 10, 1), dt.date(2026, 10, 7))


seen: list[tuple[str, RunInfo]] = []


broken: dict[str, Callable[[], None]] = {}


def daily(name: str, deps: list[str], group: str, **more: Any) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=deps, group_name=group, partitions_def=DAYS, backfill_policy=SINGLE, **more)
    def asset(context: dg.AssetExecutionContext) -> None:
        seen.append((name, RunInfo.of(context)))
        for key in context.partition_keys:
            context.add_asset_metadata({"rows_loaded": 10, "rows_quarantined": 1}, partition_key=key)
        broken.get(name, lambda: None)()

    return asset


@dg.asset(key=["marts", "mrt_days"], deps=["silver"], group_name="marts")
def mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    seen.append(("mart", RunInfo.of(context)))
    return dg.MaterializeResult(metadata={"rows_postgres": 7, "seconds": 0.25})


@dg.asset_check(asset=mart)
def equals_lake() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="off by one")
