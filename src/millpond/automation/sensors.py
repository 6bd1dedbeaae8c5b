"""What runs as soon as something is noticed."""

import dagster as dg

from millpond.resources.zombies import close_zombies

_SECONDS = 60


def build_sensors() -> list[dg.SensorDefinition]:
    """Return the sensor that closes runs whose process is gone: others wait for the pool slots they hold."""

    @dg.sensor(
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process is gone as failed and frees the pool slots they held.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        closed = close_zombies(context.instance)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "every started run has its process")

    return [dead_runs]
