"""The sensor that finds alerts. It sends nothing, and its cursor is in the outbox."""

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
    """Return the sensor; its alerts name owners, tags and due times of `assets`.

    Assets downstream of the sources `unasked`, which have no address and were never loaded, are never late.
    """
    facts = AssetFacts.of(assets, [table.asset for source in unasked for table in source.tables])

    @dg.sensor(
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records failures, late days and recoveries in the outbox, from which `millpond up` sends"
        " them. `millpond alerts list` shows them.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from millpond.alerts.finders.find import find_alerts  # brings in every channel

        configured = settings()
        new = find_alerts(context.instance, configured, read_routing(configured), facts)
        return dg.SkipReason(f"{new} new alerts" if new else "nothing new")

    return [alerts]
