"""The stages as assets: one for each stage, with a partition for each configuration."""

import dagster as dg

from forecast.metadata import describe_checkpoint
from forecast.pipeline import NAMES, STAGES, Stage
from forecast.spec import list_configs, read_config

GROUP = "forecast"
JOB = "forecast_training"
configurations = dg.StaticPartitionsDefinition(list_configs())


def stage_key(name: str) -> dg.AssetKey:
    """Return the key of the asset of a stage."""
    return dg.AssetKey(f"forecast_{name}")


def build_stage_assets() -> list[dg.AssetsDefinition]:
    """Return an asset for each stage, in their order."""
    return [_build_asset(stage) for stage in STAGES]


def _build_asset(stage: Stage) -> dg.AssetsDefinition:
    @dg.asset(
        key=stage_key(stage.name),
        deps=[*map(stage_key, stage.reads)] if stage.reads else _find_tables(),
        partitions_def=configurations,
        group_name=GROUP,
        kinds={"python", *({"scikitlearn"} if stage.name == "train" else ())},
        owners=["team:health"],
        description=stage.description,
        code_version=stage.hash_code()[:12],
        metadata={
            "automation": "none: by the weekly schedule, or on request",
            "freshness": "none: a model serves until another one is approved",
        },
    )
    def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from forecast.places import find_places
        from forecast.run_stages import run_stage
        from millpond.resources.run import ref_of

        config = read_config(context.partition_key)
        found = run_stage(stage, config, find_places(config.name), ref_of(context.run.tags), context.log.info)
        return dg.MaterializeResult(
            metadata=describe_checkpoint(found), data_version=dg.DataVersion(found.content)
        )

    return run


def _find_tables() -> list[dg.AssetDep]:
    """Return the assets of the tables that the configurations read."""
    tables = {read_config(name).source.table for name in list_configs()}
    names = sorted(table.partition(".")[2] for table in tables if table)
    return [dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in names]


training = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets(*map(stage_key, NAMES)),
    description="All stages of a model, ingest to report; what did not change does not run.",
)
