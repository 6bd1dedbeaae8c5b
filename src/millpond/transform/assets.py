"""The models as Dagster assets, the models of a domain in one step: one build, one audit, one merge.

Steps go by domain, so that a source that fails stops what needs it and nothing else.
"""

import datetime as dt
import logging
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

import dagster as dg

from millpond.errors import MillpondError
from millpond.instance.provenance import Inputs
from millpond.instance.unreachable import Unreachable, find_unreachable
from millpond.naming import dagster_name
from millpond.partitions import Window, contiguous
from millpond.redaction import redacted
from millpond.resources.run import RunInfo, daily_partitions
from millpond.resources.steps import LAKE_STEP, TRANSIENT, interrupts_are_final
from millpond.runtime.companion import call
from millpond.settings import Settings, settings
from millpond.transform import materializations
from millpond.transform.build import ModelWrite
from millpond.transform.checks import DbtTest
from millpond.transform.invocation import list_projects
from millpond.transform.manifest import ParsedProject, load_project_or_last
from millpond.transform.model_specs import load_specs
from millpond.transform.models import Model, Models
from millpond.transform.results import AuditFailed, BuildResult, join_builds

POOL = "transform"
"""One build at a time, in all runs: a second one waits instead of running into a conflict."""
STEP = "dbt_"
_RUNNER = "millpond.transform.runner"
"""Called in a companion process if a command started one, else in this process."""
_LOG = logging.getLogger(__name__)
_Event = dg.DagsterEvent | dg.MaterializeResult[Any] | dg.Output[Any] | dg.AssetCheckEvaluation
_Builds = Sequence[tuple[set[str], Window | None]]
_Models = Mapping[str, Model]
"""By asset key."""
_Events = Generator[_Event, None, Any]


class ModelsDefinition(dg.AssetsDefinition):
    """Assets of one step, each with the partition mappings of its own spec.

    When Dagster runs a step, it takes partition mappings from the step, one for each table that the step
    reads. Then two models that look back different numbers of days on one table could not be in one step,
    and a run without partitions of models that are built whole would fail if a daily model looks back.
    Planning uses the specs: there each asset keeps its mappings, and the step has none.
    """

    def __init__(self, *, specs: Iterable[dg.AssetSpec] = (), **attributes: Any) -> None:
        specs = list(specs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # of attributes that Dagster itself passes
            super().__init__(specs=list(map(_drop_mappings, specs)), **attributes)
        plain, deps = super().specs_by_key, {spec.key: spec.deps for spec in specs}
        self._own_specs = {key: plain[key].replace_attributes(deps=deps[key]) for key in plain}

    @classmethod
    def from_step(cls, step: dg.AssetsDefinition, specs: Iterable[dg.AssetSpec]) -> Self:
        """Return the step with these specs, which have the mappings that its own lack."""
        return cls(**{**step.get_attributes_dict(), "specs": specs})

    @staticmethod
    def dagster_internal_init(**attributes: Any) -> "ModelsDefinition":
        """Return a step for which Dagster selects assets or changes specs."""
        return ModelsDefinition(**attributes)

    @property
    def specs(self) -> Iterable[dg.AssetSpec]:
        """Return the specs of the assets, with their partition mappings."""
        return self._own_specs.values()

    @property
    def specs_by_key(self) -> Mapping[dg.AssetKey, dg.AssetSpec]:
        """Return the specs by asset key, with their partition mappings."""
        return self._own_specs


def build_assets() -> list[dg.AssetsDefinition]:
    """Return the assets of all models; reads the manifest, and parses the project first if its files changed.

    If the project does not parse, they are the models of the last time that it did.
    """
    configured = settings()
    found = load_project_or_last(configured)
    return [step for part in (found.parts if found else ()) for step in _build_steps(part, configured)]


def _build_steps(parsed: ParsedProject, configured: Settings) -> list[dg.AssetsDefinition]:
    """Return the steps of one project."""
    _log_refused(parsed.models())
    _log_never_run(parsed.checks())
    every = [model for model in parsed.models().values() if not model.refused]
    specs = load_specs(parsed.specs(), configured.project / parsed.project)
    days = daily_partitions(configured)
    first = parsed.project == list_projects(configured)[0]
    prefix = STEP if first else f"{STEP}{dagster_name(parsed.project)}_"

    def build_step(name: str, members: Sequence[Model]) -> dg.AssetsDefinition:
        prepared = [(specs[model.unique_id], model.daily) for model in members]
        own = [
            each.spec.replace_attributes(partitions_def=days) if daily else each.spec
            for each, daily in prepared
        ]

        @dg.multi_asset(
            name=name,
            specs=list(map(_drop_mappings, own)),
            check_specs=[check for each, _ in prepared for check in each.checks],
            can_subset=True,
            allow_arbitrary_check_specs=True,
            pool=POOL,
            retry_policy=LAKE_STEP,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def build_models(context: dg.AssetExecutionContext) -> _Events:
            with interrupts_are_final(context):
                yield from _materialize_models(context, {model.key: model for model in members})

        return ModelsDefinition.from_step(build_models, own)

    domains = sorted({model.domain for model in every})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # code references; mappings before the first day
        return [
            build_step(f"{prefix}{domain}", [model for model in every if model.domain == domain])
            for domain in domains
        ]


def _log_refused(every: Models) -> None:
    for model in every.values():
        if model.refused:
            _LOG.warning("%s is left out: %s", model.unique_id, model.refused)


def _log_never_run(checks: Mapping[str, DbtTest]) -> None:
    for test in checks.values():
        if test.kind == "test" and not test.reads:
            _LOG.warning("%s never runs: name the tables it reads with ref() or source()", test.unique_id)


def _materialize_models(context: dg.AssetExecutionContext, members: _Models) -> _Events:
    from millpond.transform.runner import (
        get_snapshot_id,  # imports the lake, which a code location does not need
    )

    run, selected = RunInfo.of(context), {key.to_user_string() for key in context.selected_asset_keys}
    for name in sorted(name for name in selected if members[name].static):
        if same := materializations.repeat_last(
            context, name, get_snapshot_id(members[name].unique_id, ref=run.ref), run.ref
        ):
            selected.remove(name)
            yield same
    builds: _Builds = [(selected, run.window)]
    if not run.full_refresh:
        graph = context.job_def.asset_layer.asset_graph
        gone = find_unreachable(context.instance, graph, selected, run.ref, run.window)
        builds = list(_plan_builds(selected, members, run.window, gone))
    inputs = Inputs.before(context, selected, run.ref, run.window)
    result: BuildResult = yield from _build_and_check(context, run, members, selected, builds)
    by_name = {built.model: built for built in result.models}
    for name in [*(name for name in by_name if name not in members), *members]:
        if (built := by_name.get(name)) is None:
            if name in selected:
                context.log.info(
                    "%s is not built: its source has no data of these days any more, or no address", name
                )
                yield from materializations.materialize_nothing(context, name)
        elif name not in selected:
            yield materializations.materialize_unselected(context, built, run.ref)
        elif members[name].daily:
            yield from materializations.materialize_days(context, built, run.ref, inputs)
        else:
            yield materializations.materialize_whole(built, run.ref, inputs)
        if built:
            inputs.record(name, materializations.get_versions(built))


def _plan_builds(
    selected: set[str], members: _Models, window: Window | None, gone: Unreachable
) -> Iterator[tuple[set[str], Window | None]]:
    """Yield which models to build for which days: all for the window, except unreachable days."""
    whole = {name for name in selected if not members[name].daily and name not in gone.assets}
    daily = {name for name in selected if members[name].daily}
    by_models: dict[frozenset[str], list[dt.date]] = {}
    for day in window.days if window else ():
        if names := frozenset(name for name in daily if day not in gone.of(name)):
            by_models.setdefault(names, []).append(day)
    builds: list[tuple[set[str], Window | None]] = [
        (whole | names, part) for names, days in by_models.items() for part in contiguous(days)
    ]
    yield from builds or ([(whole, window)] if whole else [])


def _build_and_check(
    context: dg.AssetExecutionContext, run: RunInfo, members: _Models, names: set[str], builds: _Builds
) -> _Events:
    """Build and merge models; yields check results, also of tables that are not built, returns the build."""
    covered = names.union(*(members[name].sources.values() for name in names if builds))
    checks = [
        key for key in context.selected_asset_check_keys if key.asset_key.to_user_string() not in covered
    ]
    try:
        named = sorted((key.asset_key.to_user_string(), key.name) for key in checks)
        checked = call(f"{_RUNNER}:check", named, ref=run.ref) if named else []
        result = BuildResult(run.ref, "", merged=False, checks=tuple(checked))
        yield from materializations.report_checks(context, result.checks)
        if builds:
            result = join_builds(
                [
                    call(
                        f"{_RUNNER}:build",
                        sorted(members[key].unique_id for key in some),
                        window,
                        ref=run.ref,
                        run_id=run.run_id,
                        on_event=partial(_log_rows, context),
                        full_refresh=run.full_refresh,
                    )
                    for some, window in builds
                ]
            )
            for warning in result.warnings:
                context.log.warning("dbt warns: %s", warning)
            yield from materializations.report_checks(context, result.checks)
    except AuditFailed as failed:
        yield from materializations.report_checks(context, failed.result.checks)
        raise _to_failure(failed) from None
    except MillpondError as error:
        raise _to_failure(error) from None
    return result


def _log_rows(context: dg.AssetExecutionContext, stored: ModelWrite) -> None:
    context.log.info("%s: %s rows", stored.unique_id.split(".", 2)[-1], stored.written.rows)


def _to_failure(error: MillpondError) -> dg.Failure:
    metadata: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, AuditFailed):
        metadata["branch"] = error.result.branch
        metadata["asset"] = error.result.root
        for check in error.result.blocked_by:
            metadata[check.check] = materializations.format_samples(check.samples)
    return dg.Failure(redacted(str(error)), metadata=metadata, allow_retries=isinstance(error, TRANSIENT))


def _drop_mappings(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Return the spec with its dependencies alone, without their partition mappings."""
    return spec.replace_attributes(deps=[dep.asset_key for dep in spec.deps])
