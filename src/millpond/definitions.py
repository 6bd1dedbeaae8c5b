"""Table of contents: everything Dagster knows of this installation.

Importing this opens no socket and starts nothing.
"""

from __future__ import annotations

import dagster as dg

from millpond.alerts.sensors import build_sensors as alert_sensors
from millpond.automation import new_data, queue, waiting
from millpond.automation.jobs import housekeeping
from millpond.automation.schedules import build_schedules
from millpond.automation.sensors import build_sensors as automation_sensors
from millpond.automation.waits import read_waits
from millpond.ingestion.assets import build_assets as ingestion_assets
from millpond.ingestion.reading import load_sources
from millpond.publish.assets import build_assets as publish_assets
from millpond.quality.checks import build_checks
from millpond.quality.freshness import with_freshness
from millpond.settings import settings
from millpond.transform.assets import build_assets as transform_assets
from millpond.transform.manifest import manifest

_SETTINGS = settings()
_SOURCES = load_sources(_SETTINGS)

_ASSETS = with_freshness(
    [*ingestion_assets(_SOURCES), *transform_assets(), *publish_assets(manifest(_SETTINGS))], _SOURCES
)

defs = dg.Definitions(
    assets=_ASSETS,
    asset_checks=build_checks(_SOURCES),
    jobs=[
        dg.define_asset_job("millpond", selection="*", description="Every asset, source to mart."),
        housekeeping,
    ],
    schedules=build_schedules(),
    sensors=[
        *alert_sensors(_ASSETS),
        *automation_sensors(),
        *new_data.build_sensors(_SOURCES),
        *queue.build_sensors(_SOURCES),
        *waiting.build_sensors(read_waits(_SETTINGS)),
    ],
    executor=dg.in_process_executor,
)
