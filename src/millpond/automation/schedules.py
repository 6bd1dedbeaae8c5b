"""What runs by the clock."""

from collections.abc import Sequence

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.daily import build_daily, is_weekend
from millpond.automation.jobs import Night, housekeeping, night
from millpond.internals.dagster import UnresolvedAssetJobDefinition
from millpond.naming import MAIN_REF
from millpond.settings import Settings


def loads_by_itself(settings: Settings) -> bool:
    """Return whether data is loaded by itself from the start: not where a person works on a branch."""
    return settings.automation and settings.ref == MAIN_REF


def build_schedules(
    job: UnresolvedAssetJobDefinition, chains: Sequence[Chain], settings: Settings
) -> list[dg.ScheduleDefinition]:
    """Return the schedules; housekeeping runs each night from the start, as it harms nothing."""
    status = dg.DefaultScheduleStatus
    return [
        build_daily(job, chains, settings, status.RUNNING if loads_by_itself(settings) else status.STOPPED),
        build_nightly(settings),
    ]


def build_nightly(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule of housekeeping; maintenance is for nights with time for it."""

    @dg.schedule(
        job=housekeeping,
        cron_schedule="30 3 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Each night at 03:30 in the configured zone; on Saturdays and Sundays with maintenance.",
    )
    def housekeeping_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.astimezone(settings.zone).date()
        return dg.RunRequest(run_config=dg.RunConfig(ops={night.name: Night(weekend=is_weekend(day))}))

    return housekeeping_schedule
