"""The forecast of each day as an asset, its checks, and the weekly training."""

import datetime as dt
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

import millpond
from forecast.approved import approved_key, record_approved
from forecast.assets import training
from forecast.code import hash_code
from forecast.serving import COLUMNS, NAME, TABLE
from millpond.naming import MAIN_REF
from millpond.resources.run import ref_of
from millpond.resources.steps import LAKE_STEP
from millpond.settings import settings

_TYPES = {"timestamp": "timestamp with time zone", "string": "varchar"}
_NOTHING = "no model is approved: nothing is forecast. `millpond forecast status` shows what waits"
RECENT_DAYS = 7
"""How many days of forecasts are compared with what then happened."""
WORSE = 1.5
"""By how much the error of these days may exceed that on the held-out rows."""


def build_forecast_asset() -> dg.AssetsDefinition:
    """Return the asset `fct_glucose_forecast`: by day, a range of days in one run and one commit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yesterday = dg.TimeWindowPartitionMapping(start_offset=-1, allow_nonexistent_upstream_partitions=True)

    @dg.asset(
        deps=[dg.AssetDep("fct_glucose_readings", partition_mapping=yesterday), approved_key(NAME)],
        partitions_def=millpond.daily_partitions(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=LAKE_STEP,
        code_version=hash_code("forecast.serving")[:12],
        group_name="silver",
        kinds={"iceberg", "scikitlearn"},
        owners=["team:health"],
        tags={"layer": "silver", "domain": "forecast"},
        description="What the approved model expects of glucose 30 minutes after each reading. Without an"
        " approved model a day has no rows. A day keeps the forecasts of the model that served at the time.",
        metadata={
            "dagster/table_name": TABLE,
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, _TYPES.get(kind, kind), text) for name, (kind, text) in COLUMNS.items()]
            ),
        },
    )
    def fct_glucose_forecast(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from forecast.serving import describe_table, score_days

        serving = record_approved(context.instance, NAME)
        if serving is None:
            context.log.info(_NOTHING)
        model = serving.short if serving else "none"
        yield from millpond.write_days(
            context, describe_table(), partial(score_days, serving), metadata={"model": model}
        )

    return fct_glucose_forecast


@dg.asset_check(
    asset="mrt_forecast_quality",
    name="error_is_as_measured",
    description=f"Over the last {RECENT_DAYS} days with forecasts, the mean absolute error is at most {WORSE}"
    " times that on the held-out rows, and below that of the forecast same as now.",
)
def check_error(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Compare what was forecast with what then happened."""
    from forecast.quality import measure_recent_error

    found = measure_recent_error(ref_of(context.run.tags), RECENT_DAYS, WORSE)
    return dg.AssetCheckResult(
        passed=not found.wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.wrong or found.summary,
        metadata=found.numbers,
    )


@dg.asset_check(
    asset="fct_glucose_forecast",
    name="readings_are_as_in_training",
    description="The readings of the last 28 days have not drifted from those that the approved model was"
    " trained on by more than its threshold drift.psi.",
)
def check_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Compare the readings with the profile that is packaged with the model."""
    from forecast.quality import measure_reading_drift

    found = measure_reading_drift(ref_of(context.run.tags))
    return dg.AssetCheckResult(
        passed=not found.wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.wrong or found.summary,
        metadata=found.numbers,
    )


def build_training_schedule() -> dg.ScheduleDefinition:
    """Return the schedule that trains each week; what it packages waits for a person."""
    configured = settings()
    is_on = configured.automation and configured.ref == MAIN_REF

    @dg.schedule(
        name="weekly_training",
        job=training,
        cron_schedule="0 5 * * 1",
        execution_timezone=configured.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
        description="Trains the model of glucose on the readings of the last weeks. A model that passes its"
        " thresholds waits for `millpond forecast approve`.",
    )
    def train_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from forecast.quality import find_why_not_to_train

        if why := find_why_not_to_train(NAME):
            return dg.SkipReason(why)
        day: dt.date = context.scheduled_execution_time.date()
        return dg.RunRequest(run_key=f"{NAME}:{day}", partition_key=NAME)

    return train_weekly
