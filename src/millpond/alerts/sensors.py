"""The sensor that wakes the finder of alerts. It sends nothing, and keeps no cursor of its own."""

from collections.abc import Sequence

import dagster as dg

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.routing import read_routing
from millpond.ingestion.spec import SourceSpec
from millpond.settings import settings

_SECONDS = 15


def build_sensors(
    assets: Sequence[dg.AssetsDefinition], unasked: Sequence[SourceSpec]
) -> list[dg.SensorDefinition]:
    """Return the sensor; owners, tags and promises of `assets` are part of what its alerts say.

    Nothing is late that rests on sources without address, `unasked`, if these were never loaded.
    """
    facts = AssetFacts.of(assets, [table.asset for source in unasked for table in source.tables])

    @dg.sensor(
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Puts failures, late days and recoveries into the outbox, from which `millpond up` sends"
        " them. `millpond alerts list` shows them.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from millpond.alerts.finders.find import find_alerts  # brings in every channel

        configured = settings()
        new = find_alerts(context.instance, configured, read_routing(configured), facts)
        return dg.SkipReason(f"{new} new alerts" if new else "nothing new")

    return [alerts]
