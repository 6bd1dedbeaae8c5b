"""The models as Dagster assets, the models of a domain in one step: one build, one audit, one merge.

Steps go by domain, so that a source that fails stops what needs it and nothing else.
"""

import warnings
from collections.abc import Generator, Sequence
from typing import Any

import dagster as dg

from millpond.errors import MillpondError
from millpond.redaction import redacted
from millpond.resources.interrupts import interrupts_are_final
from millpond.resources.provenance import Inputs
from millpond.resources.retries import LAKE_STEP, PASSING
from millpond.resources.run import RunInfo
from millpond.settings import Settings, settings
from millpond.transform import engine
from millpond.transform import materializations as told
from millpond.transform.builds import build, check
from millpond.transform.invocation import variables_of
from millpond.transform.manifest import current
from millpond.transform.models import Model, Models, models
from millpond.transform.results import AuditFailed, BuildResult
from millpond.transform.specs import asset_spec, check_specs

POOL = "transform"
"""One build at a time, in all runs: a second one waits for its turn instead of for a conflict."""
STEP = "dbt_"
_Event = dg.DagsterEvent | dg.MaterializeResult[Any] | dg.Output[Any] | dg.AssetCheckEvaluation
_Events = Generator[_Event, None, Any]


def build_assets() -> list[dg.AssetsDefinition]:
    """Return the assets of all models; reads the manifest, which is parsed first if dbt's files changed."""
    configured = settings()
    document = current(configured).document()
    every = models(document)
    project, variables = configured.project / "dbt", variables_of(configured)
    days, kind = _days(configured), engine.of(configured).kind

    def step(name: str, members: Sequence[Model]) -> dg.AssetsDefinition:
        specs = [asset_spec(model, every, document, project, variables, kind) for model in members]
        by_day = [model.daily for model in members]

        @dg.multi_asset(
            name=name,
            specs=[
                spec.replace_attributes(partitions_def=days) if daily else spec
                for spec, daily in zip(specs, by_day, strict=True)
            ],
            check_specs=[check for model in members for check in check_specs(model, document)],
            can_subset=True,
            pool=POOL,
            retry_policy=LAKE_STEP,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def made(context: dg.AssetExecutionContext) -> _Events:
            with interrupts_are_final():
                yield from _made(context, {model.name: model for model in members})

        return made

    domains = sorted({model.domain for model in every.values()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # code references; mappings before the first day
        return [
            step(f"{STEP}{domain}", [model for model in every.values() if model.domain == domain])
            for domain in domains
        ]


def _days(configured: Settings) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(
        start_date=str(configured.start_date), timezone=configured.timezone, end_offset=1
    )


def _made(context: dg.AssetExecutionContext, members: Models) -> _Events:
    from millpond.transform.runner import (
        snapshot_id,  # brings in the lake, which a code location can do without
    )

    run, asked = RunInfo.of(context), {key.path[-1] for key in context.selected_asset_keys}
    for name in sorted(name for name in asked if members[name].static):
        if same := told.again(context, name, snapshot_id(name, ref=run.ref), run.ref):
            asked.remove(name)
            yield same
    inputs = Inputs.before(context, asked, run.ref, run.window)
    result: BuildResult = yield from _built(context, run, asked)
    for built in result.models:
        if built.model not in asked:
            yield told.along(context, built, run.ref)
        elif members[built.model].daily:
            yield from told.of_days(context, built, run.ref, inputs)
        else:
            yield told.of_whole(built, run.ref, inputs)
        inputs.made(built.model, told.versions(built))


def _built(context: dg.AssetExecutionContext, run: RunInfo, names: set[str]) -> _Events:
    """Build and merge models; yields results of checks, also of tables that stay, and returns the build."""
    checks = {key.name for key in context.selected_asset_check_keys if key.asset_key.path[-1] not in names}
    try:
        checked = check(sorted(checks), ref=run.ref) if checks else []
        result = BuildResult(run.ref, "", merged=False, checks=tuple(checked))
        yield from told.checks(context, result.checks)
        if names:
            result = build(
                sorted(names),
                run.window,
                ref=run.ref,
                run_id=run.run_id,
                on_event=lambda stored: context.log.info("%s: %s rows", stored.model, stored.written.rows),
            )
            yield from told.checks(context, result.checks)
    except AuditFailed as failed:
        yield from told.checks(context, failed.result.checks)
        raise _failure(failed) from None
    except MillpondError as error:
        raise _failure(error) from None
    return result


def _failure(error: MillpondError) -> dg.Failure:
    metadata: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, AuditFailed):
        metadata["branch"] = error.result.branch
        metadata["asset"] = error.result.root
        for check in error.result.blocked_by:
            metadata[check.check] = told.samples(check.samples)
    return dg.Failure(redacted(str(error)), metadata=metadata, allow_retries=isinstance(error, PASSING))
