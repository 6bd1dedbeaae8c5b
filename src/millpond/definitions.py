"""Table of contents: everything Dagster knows of this installation.

Importing this opens no socket and starts nothing.
"""

from __future__ import annotations

import dagster as dg

from millpond.alerts.sensors import build_sensors as alert_sensors
from millpond.automation import new_data, queue, waiting
from millpond.automation.chains import chains_of
from millpond.automation.conditions import with_conditions
from millpond.automation.jobs import housekeeping
from millpond.automation.schedules import build_schedules
from millpond.automation.sensors import build_sensors as automation_sensors
from millpond.automation.waits import read_waits
from millpond.ingestion.assets import build_assets as ingestion_assets
from millpond.ingestion.origins import has_address
from millpond.ingestion.reading import load_sources
from millpond.publish.assets import build_assets as publish_assets
from millpond.quality.checks import build_checks
from millpond.quality.freshness import declared_in_dbt, with_freshness
from millpond.resources.engines import build_resources
from millpond.resources.run import JOB
from millpond.settings import settings
from millpond.transform.assets import build_assets as transform_assets
from millpond.transform.exposures import exposure_specs
from millpond.transform.manifest import NO_MANIFEST, described

_SETTINGS = settings()
_SOURCES = load_sources(_SETTINGS)

_DBT = described(_SETTINGS)
_MANIFEST, _MODELS = (_DBT.document(), _DBT.models()) if _DBT else (NO_MANIFEST, {})
_MARTS = publish_assets(_MANIFEST, {key: model.key for key, model in _MODELS.items()})
_MADE = [*ingestion_assets(_SOURCES), *transform_assets(), *_MARTS]
_READ_AS = {dep.asset_key: spec.key for each in _MARTS for spec in each.specs for dep in spec.deps}
_ASKED = [source for source in _SOURCES if has_address(source, _SETTINGS)]
_CHAINS = chains_of(_MADE, _ASKED)
_FRESH = with_freshness(_MADE, _SOURCES, declared_in_dbt(_MANIFEST, _MODELS))
_ASSETS = with_conditions(_FRESH, _CHAINS, _SETTINGS.timezone)
_JOB = dg.define_asset_job(JOB, selection="*", description="Every asset, source to mart.")

defs = dg.Definitions(
    assets=[*_ASSETS, *exposure_specs(_MANIFEST, _MODELS, _READ_AS)],
    asset_checks=build_checks(_SOURCES),
    jobs=[_JOB, housekeeping],
    schedules=build_schedules(_JOB, _CHAINS, _SETTINGS),
    sensors=[
        *alert_sensors(_ASSETS, [source for source in _SOURCES if source not in _ASKED]),
        *automation_sensors(_CHAINS, _SETTINGS),
        *new_data.build_sensors(_ASKED, _CHAINS),
        *queue.build_sensors(_SOURCES),
        *waiting.build_sensors(read_waits(_SETTINGS)),
    ],
    resources=build_resources(_SETTINGS),
    executor=dg.in_process_executor,
)
