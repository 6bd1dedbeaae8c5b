"""Runs that wait or work: what they make need not be asked for again."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from millpond.partitions import Window
from millpond.resources.run import ref_of, window_of

_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def covering(instance: DagsterInstance, assets: AbstractSet[AssetKey], window: Window) -> str | None:
    """Return the id of a run that waits or works and makes all `assets` for all days of `window`."""
    runs = instance.get_runs(RunsFilter(statuses=_UNFINISHED))
    return next((run.run_id for run in runs if _covers(run, assets, window)), None)


def _covers(run: DagsterRun, assets: AbstractSet[AssetKey], window: Window) -> bool:
    made, days = run.asset_selection, window_of(run.tags)
    return (
        ref_of(run.tags) == ref_of({})
        and days is not None
        and days.start <= window.start
        and window.end <= days.end
        and made is not None
        and assets <= made
    )
