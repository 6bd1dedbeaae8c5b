"""Sensors for automation conditions, and for runs whose process died."""

import warnings
from collections.abc import Sequence
from typing import Any

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.requests import is_automatic, merge_by_chain
from millpond.instance.dead_runs import fail_dead_runs
from millpond.internals.dagster import SensorExecutionData, copy_record
from millpond.settings import Settings

CONDITION_SENSOR = "keep_up"
_SECONDS = 30


class ChainSensor(dg.AutomationConditionSensorDefinition):
    """Dagster's sensor for automation conditions, but with one run for each chain."""

    def __init__(self, chains: Sequence[Chain], default_status: dg.DefaultSensorStatus) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # evaluation in the code server is beta
            super().__init__(
                CONDITION_SENSOR,
                target=dg.AssetSelection.all(),
                use_user_code_server=True,
                emit_backfills=False,
                minimum_interval_seconds=_SECONDS,
                default_status=default_status,
                description="Loads today by the cadence of each source, and in the same run what is"
                " downstream.",
            )
        self.chains = chains

    def with_attributes(self, **_: Any) -> "ChainSensor":
        """Return this sensor, which has no jobs to replace."""
        return self

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        """Return Dagster's evaluation, its requests merged by chain."""
        found = super().evaluate_tick(context)
        return copy_record(found, run_requests=merge_by_chain(found.run_requests or (), self.chains))


_DEAD_RUNS_SECONDS = 60


def build_base_sensors(chains: Sequence[Chain], settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensor of automation conditions, and the one that closes runs whose process is gone.

    Such a run holds pool slots that other runs wait for.
    """
    status = dg.DefaultSensorStatus
    follow = ChainSensor(chains, status.RUNNING if is_automatic(settings) else status.STOPPED)

    @dg.sensor(
        minimum_interval_seconds=_DEAD_RUNS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process is gone as failed and frees the pool slots they held.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        closed = fail_dead_runs(context.instance)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no dead runs")

    return [follow, dead_runs]
