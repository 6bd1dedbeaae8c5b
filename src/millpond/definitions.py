"""Table of contents: everything Dagster knows of this installation.

Importing this opens no socket and starts nothing.
"""

from __future__ import annotations

import dagster as dg

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

defs = dg.Definitions(
    assets=with_freshness(
        [*ingestion_assets(_SOURCES), *transform_assets(), *publish_assets(manifest(_SETTINGS))], _SOURCES
    ),
    asset_checks=build_checks(_SOURCES),
    jobs=[dg.define_asset_job("millpond", selection="*", description="Every asset, source to mart.")],
    executor=dg.in_process_executor,
)
