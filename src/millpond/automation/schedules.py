"""What runs by the clock."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from millpond.automation.chains import Chain
from millpond.automation.daily import build_daily
from millpond.automation.jobs import housekeeping
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
        dg.ScheduleDefinition(
            job=housekeeping,
            cron_schedule="30 3 * * *",
            execution_timezone=settings.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Each night at 03:30 in the configured zone.",
        ),
    ]
