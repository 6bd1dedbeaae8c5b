"""What runs as soon as something is noticed."""

from collections.abc import Sequence

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.schedules import loads_by_itself
from millpond.automation.tick import ChainSensor
from millpond.resources.zombies import close_zombies
from millpond.settings import Settings

_SECONDS = 60


def build_sensors(chains: Sequence[Chain], settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensor of automation conditions, and the one that closes runs whose process is gone.

    Others wait for the pool slots that such a run holds.
    """
    status = dg.DefaultSensorStatus
    follow = ChainSensor(chains, status.RUNNING if loads_by_itself(settings) else status.STOPPED)

    @dg.sensor(
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process is gone as failed and frees the pool slots they held.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        closed = close_zombies(context.instance)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "every started run has its process")

    return [follow, dead_runs]
