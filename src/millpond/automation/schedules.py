"""What runs by the clock."""

import dagster as dg

from millpond.automation.jobs import housekeeping
from millpond.settings import settings


def build_schedules() -> list[dg.ScheduleDefinition]:
    """Return the schedules; housekeeping runs each night from the start, as it harms nothing."""
    return [
        dg.ScheduleDefinition(
            job=housekeeping,
            cron_schedule="30 3 * * *",
            execution_timezone=settings().timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Each night at 03:30 in the configured zone.",
        )
    ]
