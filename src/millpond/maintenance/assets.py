"""The tasks of maintenance as Dagster assets, and the job that makes them at night."""

from collections.abc import Iterator

import dagster as dg

from millpond.internals.dagster import UnresolvedAssetJobDefinition
from millpond.maintenance.task import Result, Task
from millpond.maintenance.tasks import TASKS
from millpond.resources.run import MAINTENANCE
from millpond.settings import Settings

GROUP = "maintenance"
JOB = "housekeeping"


class Asked(dg.Config):
    """Whether a task only says what it would do."""

    dry_run: bool = False


def build_assets() -> list[dg.AssetsDefinition]:
    """Return an asset for each task; a materialization of it has what the task did as metadata."""
    return [_build_asset(task) for task in TASKS]


def build_job() -> UnresolvedAssetJobDefinition:
    """Return the job that runs all tasks."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(*(key_of(task) for task in TASKS)),
        description="Cleans up: what expired, what killed runs left behind, small files, old logs.",
    )


def build_schedule(job: UnresolvedAssetJobDefinition, settings: Settings) -> dg.ScheduleDefinition:
    """Return the nightly schedule, which is always on by default."""
    return dg.ScheduleDefinition(
        name="housekeeping_schedule",
        job=job,
        cron_schedule="30 3 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Each night at 03:30 in the configured zone.",
    )


def key_of(task: Task) -> dg.AssetKey:
    """Return the key of the asset of a task."""
    return dg.AssetKey([GROUP, task.name])


def _build_asset(task: Task) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        key_of(task), group_name=GROUP, description=task.description, metadata={MAINTENANCE: True}
    )

    checks = (
        [dg.AssetCheckSpec(task.check, asset=spec.key, description=task.description)] if task.check else []
    )

    @dg.multi_asset(name=task.name, specs=[spec], check_specs=checks)
    def run(context: dg.AssetExecutionContext, config: Asked) -> Iterator[dg.MaterializeResult[None]]:
        result = task.run(config.dry_run)
        for line in result.lines:
            counts = ", ".join(f"{number} {what}" for what, number in line.counts.items())
            context.log.info("%s: %s, %d bytes", line.name, counts, line.bytes)
        yield dg.MaterializeResult(
            metadata={
                **result.counts,
                "bytes": result.bytes,
                "lines": dg.MetadataValue.json(result.describe()["lines"][:_SHOWN]),
                "note": result.note,
                "dry_run": config.dry_run,
            },
            check_results=[_build_check_result(task, result)] if task.check else [],
        )

    return run


def _build_check_result(task: Task, result: Result) -> dg.AssetCheckResult:
    shown = "\n".join(result.problems[:_PROBLEMS])
    more = len(result.problems) - _PROBLEMS
    return dg.AssetCheckResult(
        passed=not result.problems,
        check_name=task.check,
        severity=dg.AssetCheckSeverity.ERROR,
        description=shown + (f"\n… and {more} more" if more > 0 else "") if result.problems else None,
        metadata={"problems": len(result.problems)},
    )


_PROBLEMS = 10
_SHOWN = 100
"""How many lines the metadata of a materialization has; the log has all."""
