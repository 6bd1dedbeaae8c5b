"""Assets and checks that fail on demand, runs of them, and one search for what became of it."""

import datetime as dt
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.routing import Routing
from millpond.partitions import Window
from millpond.runs.run import JOB, materialize
from millpond.settings import settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
WEEK = Window.of_days(dt.date(2026, 10, 1), dt.date(2026, 10, 7))
BROKEN = {"now": True}


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    owners=["team:growing"],
    tags={"layer": "raw"},
)
def broken() -> None:
    if BROKEN["now"]:
        raise RuntimeError("no ?token=hunter22hunter22 for /services/T0CANARY/B0/verysecret")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
)
def tried_twice() -> None:
    raise RuntimeError("again")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def fine() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows_in_source": 100, "rows_quarantined": 7})


@dg.asset_check(asset=fine, blocking=True)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


@dg.asset_check(asset=fine)
def usual() -> dg.AssetCheckResult:
    few = BROKEN["now"]
    return dg.AssetCheckResult(passed=not few, severity=dg.AssetCheckSeverity.WARN, description="few rows")


KNOWN = AssetFacts.of([broken, tried_twice, fine])
QUIET = Routing(late_after_days=0)


def find_new(recorded: dg.DagsterInstance, routing: Routing = QUIET, known: AssetFacts = KNOWN) -> int:
    return find_alerts(recorded, settings(), routing, known)


def run(
    recorded: dg.DagsterInstance, *assets: dg.AssetsDefinition, checks: Any = (), days: Window = WEEK
) -> Any:
    made = dg.Definitions(assets=assets, asset_checks=checks, jobs=[dg.define_asset_job(JOB)])
    return materialize("*", days, definitions=made, instance=recorded)


def loads_all_but(*failing: int) -> dg.AssetsDefinition:
    """Return an asset that loads all days of October that it is asked for, but for some, which it names."""

    @dg.asset(name="broken", partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def loads(context: dg.AssetExecutionContext) -> Any:
        held = [f"2026-10-{day:02}" for day in failing if f"2026-10-{day:02}" in context.partition_keys]
        for day in context.partition_keys:
            if day not in held:
                context.log_event(dg.AssetMaterialization("broken", partition=day))
        if held:
            named = [{"days": day, "error": "RowsHeldBack", "reason": f"{day}: held back"} for day in held]
            text = dg.MetadataValue.json(named)
            raise dg.Failure("held back", metadata={"error": "RowsHeldBack", "failures": text})
        return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})

    return loads


def open_partitions(rows: Any) -> list[str]:
    return [row["partition"] for row in rows("select partition from alerts where resolved_at is null")]
