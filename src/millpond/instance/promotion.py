"""Turns the observations of a branch into materializations of main, after a merge into main."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, EventLogEntry, RunsFilter

from millpond.instance.record import MERGED_TAG
from millpond.internals.dagster import (
    RUNLESS_JOB_NAME,
    RUNLESS_RUN_ID,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from millpond.naming import MAIN_REF
from millpond.resources.run import REF_TAG

__all__ = ["MERGED_TAG", "promote_observations", "report_materializations"]

_Part = tuple[dg.AssetKey, str | None]


def promote_observations(
    instance: DagsterInstance,
    ref: str,
    into: str,
    *,
    since: dt.datetime,
    rebased: bool = False,
    but: Sequence[str] = (),
) -> int:
    """Record in Dagster that `ref`, created at `since`, was merged into `into`; call it after the merge.

    Runs on `ref` get a tag. If `into` is main, the last observation of each asset and partition becomes a
    materialization; `but` are key prefixes of assets that a merge does not move. Returns how many.
    `rebased` says that the tables have other snapshots now than the runs saw.
    """
    runs = [run for run in _find_runs(instance, ref, since) if run.tags.get(MERGED_TAG) != into]
    made = 0
    if into == MAIN_REF:
        seen = [
            found for found in _find_last_observations(instance, runs) if found.asset_key.path[0] not in but
        ]
        promoted = [_to_materialization(found, ref, rebased=rebased) for found in seen]
        made = report_materializations(instance, promoted)
    for run in runs:
        instance.add_run_tags(run.run_id, {MERGED_TAG: into})
    return made


def _find_runs(instance: DagsterInstance, ref: str, since: dt.datetime) -> list[DagsterRun]:
    """Return the runs on a branch, and those on branches that were merged into it, oldest first."""
    found: dict[str, DagsterRun] = {}
    for tag in (REF_TAG, MERGED_TAG):
        wanted = RunsFilter(tags={tag: ref}, created_after=since)
        found |= {run.run_id: run for run in instance.get_runs(wanted)}
    return list(found.values())


def _find_last_observations(
    instance: DagsterInstance, runs: Iterable[DagsterRun]
) -> list[dg.AssetObservation]:
    last: dict[_Part, tuple[float, dg.AssetObservation]] = {}
    for run in runs:
        for entry in _read_observations(instance, run):
            seen = entry.get_dagster_event().asset_observation_data.asset_observation
            part = (seen.asset_key, seen.partition)
            if part not in last or last[part][0] <= entry.timestamp:
                last[part] = (entry.timestamp, seen)
    return [seen for _, seen in last.values()]


def _read_observations(instance: DagsterInstance, run: DagsterRun) -> Iterable[EventLogEntry]:
    return instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_OBSERVATION)


def _to_materialization(seen: dg.AssetObservation, ref: str, *, rebased: bool) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {**seen.metadata, "ref": MAIN_REF, "merged_from": ref}
    if rebased:
        metadata.pop("snapshot_id", None)
    return dg.AssetMaterialization(
        seen.asset_key,
        description=seen.description,
        metadata=metadata,
        partition=seen.partition,
        tags=dict(seen.tags),
    )


def report_materializations(instance: DagsterInstance, made: Sequence[dg.AssetMaterialization]) -> int:
    """Store materializations that no run made, as one batch, and return how many."""
    batch = uuid.uuid4().hex
    for number, materialization in enumerate(made, 1):
        instance.report_dagster_event(
            DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                event_specific_data=StepMaterializationData(materialization),
                job_name=RUNLESS_JOB_NAME,
            ),
            run_id=RUNLESS_RUN_ID,
            batch_metadata=DagsterEventBatchMetadata(batch, number == len(made)),
        )
    return len(made)
