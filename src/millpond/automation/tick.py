"""The sensor that evaluates the automation conditions: what a tick asks of a chain becomes one run."""

import warnings
from collections.abc import Sequence
from typing import Any

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.requests import joined
from millpond.internals.dagster import SensorExecutionData, copy_record

NAME = "keep_up"
_SECONDS = 30


class ChainSensor(dg.AutomationConditionSensorDefinition):
    """Dagster's sensor asks for a run for each kind of partition; this one for one run for each chain."""

    def __init__(self, chains: Sequence[Chain], default_status: dg.DefaultSensorStatus) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # evaluation in the code server
            super().__init__(
                NAME,
                target=dg.AssetSelection.all(),
                use_user_code_server=True,
                emit_backfills=False,
                minimum_interval_seconds=_SECONDS,
                default_status=default_status,
                description="Loads the day that has begun by the cadence of each source, and makes in the"
                " same run what follows from it.",
            )
        self.chains = chains

    def with_attributes(self, **_: Any) -> "ChainSensor":
        """Return this sensor; it has no jobs to be replaced."""
        return self

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        """Return Dagster's evaluation, its requests joined by chain."""
        found = super().evaluate_tick(context)
        return copy_record(found, run_requests=joined(found.run_requests or (), self.chains))
