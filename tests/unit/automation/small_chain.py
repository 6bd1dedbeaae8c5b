"""A chain as small as it can be: a source, a model of each kind of partition, a mart; and a calendar."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.conditions import add_conditions
from millpond.automation.sensors import ChainSensor
from millpond.ingestion.window import Cadence

DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_offset=1)
BAD = {"now": False}


def made(name: str, deps: list[str], daily: bool = True) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=deps,
        partitions_def=DAYS if daily else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def asset() -> None: ...

    return asset


@dg.asset_check(asset="dlt_readings", blocking=True)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not BAD["now"])


ASSETS = [
    made("calendar", [], daily=False),
    made("dlt_readings", []),
    made("facts", ["dlt_readings", "calendar"]),
    made("overview", ["facts"], daily=False),
    made("mart", ["overview"], daily=False),
]


def keys(*names: str) -> frozenset[dg.AssetKey]:
    return frozenset(map(dg.AssetKey, names))


CHAIN = Chain(
    "readings",
    keys("dlt_readings", "facts", "overview", "mart"),
    keys("calendar"),
    keys("dlt_readings", "facts"),
    {dg.AssetKey("dlt_readings"): Cadence(cron="0 * * * *", lookback_days=2)},
)


def definitions(timezone: str = "UTC") -> dg.Definitions:
    return dg.Definitions(
        assets=add_conditions(ASSETS, [CHAIN], timezone),
        asset_checks=[sound],
        sensors=[ChainSensor([CHAIN], dg.DefaultSensorStatus.RUNNING)],
        jobs=[dg.define_asset_job("everything", "*")],
        executor=dg.in_process_executor,
    )


class Ticks:
    """The conditions over time: `at` returns what a tick asks for, by asset."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.defs, self.cursor = instance, definitions(), None

    def at(self, text: str) -> dict[str, list[str | None]]:
        moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        result = dg.evaluate_automation_conditions(
            self.defs, self.instance, evaluation_time=moment, cursor=self.cursor
        )
        self.cursor = result.cursor
        found = {
            each.key.to_user_string(): sorted(result.get_requested_partitions(each.key), key=str)  # type: ignore[arg-type]
            for each in result.results
        }
        return {name: days for name, days in found.items() if days}

    def made(self, *days: str) -> None:
        """Put on record that all assets were made for these days."""
        for asset in ASSETS:
            for day in days if asset.partitions_def else [None]:
                self.instance.report_runless_asset_event(dg.AssetMaterialization(asset.key, partition=day))

    def run(self, selection: str, first: str, last: str | None = None, **tags: str) -> bool:
        """Run assets in one run, as an automatic one is; returns whether it succeeded."""
        from millpond.partitions import Window
        from millpond.resources.run import partition_tags

        window = Window.of_days(dt.date.fromisoformat(first), dt.date.fromisoformat(last or first))
        graph = self.defs.resolve_asset_graph()
        job: Any = self.defs.resolve_job_def("everything")
        return job.execute_in_process(  # type: ignore[no-any-return]
            instance=self.instance,
            tags={**partition_tags(window), **tags},
            asset_selection=list(dg.AssetSelection.from_coercible(selection).resolve(graph)),
            raise_on_error=False,
        ).success
