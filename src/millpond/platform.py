"""Table of contents: everything Dagster knows of an installation, and what a project adds to it."""

from __future__ import annotations

import warnings
from urllib.parse import urlencode

import dagster as dg

from millpond.alerts.sensors import build_sensors as alert_sensors
from millpond.automation.chains import find_chains, note_missing_addresses
from millpond.automation.conditions import add_conditions
from millpond.automation.new_data_sensors import build_new_data_sensors
from millpond.automation.openlineage import build_openlineage_sensors
from millpond.automation.queue_sensor import build_queue_sensors
from millpond.automation.schedules import build_daily
from millpond.automation.sensors import build_base_sensors
from millpond.automation.wait_sensors import build_wait_sensors
from millpond.automation.waits import read_waits
from millpond.ingestion.assets import build_assets as ingestion_assets
from millpond.ingestion.origins import has_address
from millpond.ingestion.reading import load_sources
from millpond.instance.event_buffer import let_starts_wait
from millpond.maintenance import assets as maintenance
from millpond.own_definitions import OwnDefinitions
from millpond.publish.assets import build_assets as publish_assets
from millpond.quality.checks import build_checks
from millpond.quality.freshness import add_freshness, read_dbt_freshness
from millpond.resources.engines import build_resources
from millpond.resources.run import JOB, OWN_PARTITIONS, daily_partitions
from millpond.settings import Settings, settings
from millpond.transform.assets import build_assets as transform_assets
from millpond.transform.exposures import build_exposure_specs
from millpond.transform.manifest import NO_MANIFEST, load_project_or_last
from millpond.transform.sensitive import find_sensitive_columns


def build_definitions(own: dg.Definitions | None = None) -> dg.Definitions:
    """Return the platform's definitions for the project of the settings, with `own` beside them.

    Assets of `own` are automated, promised to be fresh and watched like the platform's, unless they say
    otherwise. Opens no socket and starts nothing. Raises ConfigError, also where two assets have one key.
    """
    configured = settings()
    mine = OwnDefinitions(own, daily_partitions(configured))
    sources = load_sources(configured)
    dbt = load_project_or_last(configured)
    sensitive = find_sensitive_columns(dbt)
    manifest, models = (dbt.document(), dbt.models()) if dbt else (NO_MANIFEST, {})
    marts = publish_assets(manifest, {key: model.key for key, model in models.items()})
    models_made, chores = transform_assets(), maintenance.build_assets()
    made = [*ingestion_assets(sources, sensitive), *models_made, *marts]
    checks = build_checks(sources, sensitive)
    let_starts_wait(each.node_def.name for each in [*models_made, *marts, *chores, *checks])
    mine.refuse_names_of([*made, *chores])
    made = note_missing_addresses([*made, *mine.joining])
    read_as = {dep.asset_key: spec.key for each in marts for spec in each.specs for dep in spec.deps}
    asked = [source for source in sources if has_address(source, configured)]
    chains = find_chains(made, asked)
    fresh = add_freshness([*made, *mine.others], sources, read_dbt_freshness(manifest, models))
    automated = add_conditions(fresh, chains, configured.timezone, mine.apart)
    assets = [each.map_asset_specs(lambda spec: add_links(spec, configured)) for each in automated]
    # Dagster lets no job have both kinds of partitions.
    other = [spec.key for each in mine.others for spec in each.specs if OWN_PARTITIONS in spec.metadata]
    apart = [*other, *(key for each in chores for key in each.keys)]
    by_day = dg.AssetSelection.all() - dg.AssetSelection.assets(*apart)
    nightly = maintenance.build_job()
    # Of assets that take a run for each day Dagster warns whenever it loads the job.
    warnings.filterwarnings("ignore", f"Asset job {JOB} materializes assets with varying BackfillPolicies")
    job = dg.define_asset_job(JOB, selection=by_day, description="Every asset, source to mart.")
    return dg.Definitions(
        assets=[*assets, *chores, *build_exposure_specs(manifest, models, read_as), *mine.external],
        asset_checks=[*checks, *mine.checks],
        jobs=[job, nightly, *mine.jobs],
        schedules=[
            build_daily(job, chains, configured),
            maintenance.build_schedule(nightly, configured),
            *mine.schedules,
        ],
        sensors=[
            *alert_sensors(assets, [source for source in sources if source not in asked]),
            *build_base_sensors(chains, configured),
            *build_new_data_sensors(asked, chains),
            *build_queue_sensors(sources),
            *build_wait_sensors(read_waits(configured)),
            *build_openlineage_sensors(),
            *mine.sensors,
        ],
        resources={**build_resources(configured), **mine.resources},
        executor=mine.executor or dg.in_process_executor,
        loggers=mine.loggers,
    )


def add_links(spec: dg.AssetSpec, configured: Settings) -> dg.AssetSpec:
    """Return the spec with addresses of pages beside Dagster's own.

    Without MILLPOND_PUBLIC_URL they are paths on whatever address Dagster's pages are read at.
    """
    base = configured.public_url or ""
    chosen = {"layer": spec.group_name, "source": spec.metadata.get("source")}
    query = urlencode({name: str(value) for name, value in chosen.items() if value})
    links = {"runbook": f"{base}/runbook", "docs": f"{base}/docs/"}
    if configured.dashboard:
        links["dashboard"] = f"{base}/dashboard?{query}"
    return spec.merge_attributes(metadata={name: dg.MetadataValue.url(url) for name, url in links.items()})
