"""A code location with each kind of schedule and sensor that Dagster has, all on from the start."""

import warnings
from typing import Any

import dagster as dg

ON, CLOCK_ON = dg.DefaultSensorStatus.RUNNING, dg.DefaultScheduleStatus.RUNNING


@dg.asset
def watched() -> None: ...


@dg.asset
def loaded() -> None: ...


@dg.asset(automation_condition=dg.AutomationCondition.on_cron("* * * * *"))
def by_condition_in_code() -> None: ...


@dg.asset(automation_condition=dg.AutomationCondition.on_cron("* * * * *"))
def by_condition_in_daemon() -> None: ...


@dg.op
def nothing() -> None: ...


@dg.job
def chore() -> None:
    nothing()


load = dg.define_asset_job("load", selection="loaded")


def _request(_: dg.SensorEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()


def _sensor(name: str, **target: Any) -> dg.SensorDefinition:
    return dg.SensorDefinition(
        name, evaluation_fn=_request, default_status=ON, minimum_interval_seconds=30, **target
    )


@dg.asset_sensor(asset_key=dg.AssetKey("watched"), job=load, default_status=ON)
def by_asset_event(context: dg.SensorEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitor_all_code_locations=True,
    request_job=load,
    default_status=ON,
)
def by_run_status(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    return dg.RunRequest()


@dg.run_failure_sensor(monitor_all_code_locations=True, request_jobs=[load, chore], default_status=ON)
def by_run_failure(context: dg.RunFailureSensorContext) -> dg.RunRequest:
    return dg.RunRequest(job_name="load")


@dg.sensor(default_status=ON, minimum_interval_seconds=30)
def only_watches() -> dg.SkipReason:
    return dg.SkipReason("watched")


@dg.run_failure_sensor(default_status=ON)
def only_tells(context: dg.RunFailureSensorContext) -> None: ...


@dg.schedule(cron_schedule="* * * * *", job=chore, default_status=CLOCK_ON)
def by_clock() -> dg.RunRequest:
    return dg.RunRequest()


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    condition_in_code = dg.AutomationConditionSensorDefinition(
        "condition_in_code", target=[by_condition_in_code], default_status=ON, use_user_code_server=True
    )

STARTING = [
    _sensor("by_job", job=chore),
    _sensor("by_name_of_a_job", job_name="load"),
    _sensor("by_jobs", jobs=[chore]),
    _sensor("by_assets", asset_selection=["loaded"]),
    _sensor("by_target", target=["loaded"]),
    by_asset_event,
    by_run_status,
    by_run_failure,
    dg.AutomationConditionSensorDefinition(
        "condition_in_daemon", target=[by_condition_in_daemon], default_status=ON
    ),
    condition_in_code,
]
OFF = dg.SensorDefinition("off", evaluation_fn=_request, job=chore)


def definitions(
    *more: dg.SensorDefinition, schedules: tuple[dg.ScheduleDefinition, ...] = ()
) -> dg.Definitions:
    return dg.Definitions(
        assets=[watched, loaded, by_condition_in_code, by_condition_in_daemon],
        jobs=[chore, load],
        schedules=[
            by_clock,
            dg.ScheduleDefinition(
                "by_clock_of_assets", cron_schedule="* * * * *", job=load, default_status=CLOCK_ON
            ),
            *schedules,
        ],
        sensors=[*STARTING, OFF, only_watches, only_tells, *more],
    )


defs = definitions()
later = definitions(
    _sensor("added", job_name="load"),
    schedules=(
        dg.ScheduleDefinition("added_clock", cron_schedule="* * * * *", job=chore, default_status=CLOCK_ON),
    ),
)
