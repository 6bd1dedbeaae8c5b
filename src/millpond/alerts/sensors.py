"""The sensor that turns failed runs into alerts."""

from collections.abc import Sequence

import dagster as dg

from millpond.alerts.channels import channels, tell
from millpond.alerts.failed_run import run_failed
from millpond.runtime.dagster_parts import dagster_url
from millpond.settings import settings

_SECONDS = 15


def build_sensors(assets: Sequence[dg.AssetsDefinition]) -> list[dg.SensorDefinition]:
    """Return the sensor; owners of `assets` are named in what it tells."""
    owners = {spec.key: spec.owners for each in assets for spec in each.specs}

    # Runs from the command line belong to no code location, and those are meant too.
    @dg.run_failure_sensor(
        monitor_all_code_locations=True,
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the log, and Slack where MILLPOND_SLACK_WEBHOOK is set, of each failed run."
        " A channel that is down is logged and not tried again for that run.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        configured = settings()
        pages = dagster_url(configured)
        event = run_failed(context.instance, context.dagster_run, context.failure_event, owners, pages)
        tell(event, channels(configured, context.log), context.log)

    return [failed_runs]
