"""A small pipeline of Dagster's own parts: a day with bad rows, one that fails, one that is never run."""

import datetime as dt

import dagster as dg

from millpond.resources.run import daily_partitions
from millpond.settings import settings

FIRST = dt.date(2026, 11, 1)
ROWS, BAD_DAY, FAILED_DAY, MISSING_DAY = 10, FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=3), 2


def build_pipeline() -> dg.Definitions:
    """Return a raw asset of source shop, a gold asset without partitions with a check that fails."""
    days = daily_partitions(settings())
    policy = dg.FreshnessPolicy.time_window(
        fail_window=dt.timedelta(days=1), warn_window=dt.timedelta(hours=1)
    )

    @dg.asset(
        partitions_def=days,
        group_name="raw",
        metadata={"source": "shop", "reach_days": 30},
        owners=["team:shop"],
        freshness_policy=policy,
    )
    def dlt_orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        day = dt.date.fromisoformat(context.partition_key)
        if day == FAILED_DAY:
            raise dg.Failure(
                "the shop is closed", metadata={"error": "the shop is closed"}, allow_retries=False
            )
        bad = 2 if day == BAD_DAY else 0
        return dg.MaterializeResult(
            metadata={
                "rows_loaded": ROWS - bad,
                "rows_quarantined": bad,
                "quarantine_reasons": {"price is missing": bad} if bad else {},
                "seconds": 0.5,
            }
        )

    @dg.asset(group_name="gold", deps=[dlt_orders], owners=["team:sales"])
    def mrt_orders() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": 3, "seconds": 0.1})

    @dg.asset_check(asset=mrt_orders, blocking=False)
    def no_negative_price() -> dg.AssetCheckResult:
        table = dg.MetadataValue.table([dg.TableRecord({"price": -1, "customer": "Ada"})])
        return dg.AssetCheckResult(passed=False, metadata={"failing rows": table}, description="1 row")

    return dg.Definitions(assets=[dlt_orders, mrt_orders], asset_checks=[no_negative_price])
