"""Run requests of schedules and sensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from millpond.automation.chains import Chain
from millpond.internals.dagster import (
    IN_PROGRESS_RUN_STATUSES,
    MAX_RETRIES_TAG,
    RETRY_STRATEGY_TAG,
    SENSOR_NAME_TAG,
    BaseAssetGraph,
)
from millpond.naming import MAIN_REF
from millpond.partitions import Window
from millpond.resources.run import OWN_PARTITIONS, REF_TAG, partition_tags, ref_of, window_of
from millpond.settings import Settings, settings

CHAIN_TAG = "millpond/chain"
"""Run tag that names the chain; dagster.yaml limits each chain to one automatic run at a time."""

_RETRY_IF_PROCESS_DIES = {MAX_RETRIES_TAG: "1", RETRY_STRATEGY_TAG: "ALL_STEPS"}
"""Errors in a step are retried by its own policy, see dagster.yaml; repeating a window is safe."""


def build_chain_tags(chain: Chain, window: Window | None) -> dict[str, str]:
    """Return the tags of a run of `chain` over `window`; None if no asset is partitioned."""
    return {CHAIN_TAG: chain.name, **_RETRY_IF_PROCESS_DIES, **(partition_tags(window) if window else {})}


def merge_by_chain(requests: Sequence[dg.RunRequest], chains: Sequence[Chain]) -> list[dg.RunRequest]:
    """Return `requests` merged into one request for each chain, with all its assets and days.

    An asset without a source upstream, such as a calendar, is part of each chain that reads it.
    Requests for assets outside of chains stay as they are.
    """
    found = []
    for chain in chains:
        asked = [each for each in requests if chain.assets & set(each.asset_selection or ())]
        if asked:
            given = [each for each in requests if chain.given & set(each.asset_selection or ())]
            found.append(_request_chain(chain, [*asked, *given]))
    taken = {key for request in found for key in request.asset_selection or ()}
    for request in requests:
        if rest := set(request.asset_selection or ()) - taken:
            if reader := next((each for each in chains if rest & each.given), None):
                found.append(_request_chain(reader, [request]))
                taken |= rest
            else:
                found.append(request.with_replaced_attrs(asset_selection=sorted(rest)))
    return found


def _request_chain(chain: Chain, requests: Sequence[dg.RunRequest]) -> dg.RunRequest:
    mine = chain.assets | chain.given
    checks = [check for each in requests for check in each.asset_check_keys or ()]
    return requests[0].with_replaced_attrs(
        asset_selection=sorted(
            {key for each in requests for key in each.asset_selection or () if key in mine}
        ),
        asset_check_keys=sorted({check for check in checks if check.asset_key in mine}),
        partition_key=None,
        tags=build_chain_tags(chain, _find_span(each.tags for each in requests)),
    )


def _find_span(tags: Iterable[Mapping[str, str]]) -> Window | None:
    """Return the window from the first to the last day."""
    windows = [window for each in tags if (window := window_of(each))]
    return Window(min(w.start for w in windows), max(w.end for w in windows)) if windows else None


def is_automatic(settings: Settings) -> bool:
    """Return whether automation is on by default, which it never is on a branch."""
    return settings.automation and settings.ref == MAIN_REF


def default_sensor_status() -> dg.DefaultSensorStatus:
    """Return the default status of sensors that start runs."""
    on = is_automatic(settings())
    return dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED


def build_run_request(
    assets: Iterable[dg.AssetKey], window: Window, run_key: str, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """Return the request for one run of `assets` over all days of `window`; a `run_key` starts one run."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=sorted(assets),
        tags={REF_TAG: settings().ref, **partition_tags(window), **(tags or {})},
    )


def get_asset_graph(context: dg.SensorEvaluationContext) -> BaseAssetGraph[Any]:
    """Return the asset graph of this code location."""
    assert context.repository_def
    return context.repository_def.asset_graph


def find_downstream(graph: BaseAssetGraph[Any], assets: Iterable[str]) -> set[dg.AssetKey]:
    """Return these assets and all downstream of them that a run over days makes."""
    selection = dg.AssetSelection.assets(*(dg.AssetKey.from_user_string(name) for name in assets))
    return keep_runnable(graph, selection.downstream().resolve(graph))


def keep_runnable(graph: BaseAssetGraph[Any], keys: AbstractSet[AssetKey]) -> set[dg.AssetKey]:
    """Return `keys` without dashboards and external assets, and without those that have other partitions."""
    made = keys & graph.materializable_asset_keys
    return {key for key in made if OWN_PARTITIONS not in graph.get(key).metadata}


def find_unfinished_run(instance: dg.DagsterInstance, sensor: str) -> str | None:
    """Return the id of an unfinished run that `sensor` requested."""
    filters = dg.RunsFilter(tags={SENSOR_NAME_TAG: sensor}, statuses=IN_PROGRESS_RUN_STATUSES)
    return next((run.run_id for run in instance.get_runs(filters, limit=1)), None)


_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def find_covering_run(instance: DagsterInstance, assets: AbstractSet[AssetKey], window: Window) -> str | None:
    """Return the id of an unfinished run that materializes `assets` for all days of `window`."""
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
