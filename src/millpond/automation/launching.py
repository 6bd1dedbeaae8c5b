"""A run that a sensor asks for: some assets over some days, as `millpond materialize` would run them."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from millpond.automation.schedules import loads_by_itself
from millpond.internals.dagster import IN_PROGRESS_RUN_STATUSES, SENSOR_NAME_TAG, BaseAssetGraph
from millpond.partitions import Window
from millpond.resources.run import REF_TAG, partition_tags
from millpond.settings import settings


def from_the_start() -> dg.DefaultSensorStatus:
    """Return whether a sensor that starts runs is on until somebody says otherwise."""
    on = loads_by_itself(settings())
    return dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED


def run_request(
    assets: Iterable[dg.AssetKey], window: Window, run_key: str, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """Return the request for one run of `assets` over all days of `window`; one `run_key` makes one run."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=sorted(assets),
        tags={REF_TAG: settings().ref, **partition_tags(window), **(tags or {})},
    )


def graph_of(context: dg.SensorEvaluationContext) -> BaseAssetGraph[Any]:
    """Return the assets of this code location."""
    assert context.repository_def
    return context.repository_def.asset_graph


def with_downstream(graph: BaseAssetGraph[Any], assets: Iterable[str]) -> set[dg.AssetKey]:
    """Return these assets and all that is made from them."""
    selection = dg.AssetSelection.assets(*(dg.AssetKey.from_user_string(name) for name in assets))
    return set(selection.downstream().resolve(graph))


def at_work(instance: dg.DagsterInstance, sensor: str) -> str | None:
    """Return the id of a run that `sensor` asked for and that has not ended."""
    filters = dg.RunsFilter(tags={SENSOR_NAME_TAG: sensor}, statuses=IN_PROGRESS_RUN_STATUSES)
    return next((run.run_id for run in instance.get_runs(filters, limit=1)), None)
