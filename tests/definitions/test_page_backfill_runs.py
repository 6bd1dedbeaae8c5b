"""How many runs Dagster plans for a range that is launched in its pages, and what these count as done."""

import datetime as dt
import logging
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView, TemporalContext
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.events import StepMaterializationData
from dagster._core.execution.asset_backfill import (
    PartitionedAssetBackfillStatus,
    execute_asset_backfill_iteration_inner,
)
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.schema import create_schema

from millpond.instance.backfills import launch_in_few_runs, limit_to_target
from millpond.resources.run import MAINTENANCE

pytestmark = [  # what Dagster itself uses
    pytest.mark.filterwarnings("ignore:Property .ScheduleDefinition.environment_vars"),
    pytest.mark.filterwarnings("ignore:Function .AssetSelection.sources"),
]

DAYS = ["2026-10-05", "2026-10-06", "2026-10-07"]
AFTER = "2026-10-08"
LOOKS_BACK = "fct_climate_readings"
CALENDAR = "dim_date"

_LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_QUIET = logging.getLogger("quiet")
_QUIET.disabled = True


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceRequestContext]:
    """The pages' view of our definitions, loaded in this process."""
    target = LoadableTargetOrigin(module_name="millpond.definitions", attribute="defs")
    origin = InProcessCodeLocationOrigin(target, location_name="millpond")
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        pytest.MonkeyPatch.context() as patch,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as process,
    ):
        patch.setattr(PartitionBackfill, "from_asset_partitions", PartitionBackfill.from_asset_partitions)
        launch_in_few_runs()
        yield process.create_request_context()


def launched(workspace: WorkspaceRequestContext) -> PartitionBackfill:
    """Return the backfill that the lineage page begins by "Materialize all" over `DAYS`."""
    keys = [{"path": list(key.path)} for key in workspace.asset_graph.materializable_asset_keys]
    params = {"assetSelection": keys, "partitionNames": DAYS}
    found = create_schema().execute(_LAUNCH, variable_values={"params": params}, context_value=workspace)
    assert found.errors is None
    assert "backfillId" in found.data["launchPartitionBackfill"], found.data
    backfill = workspace.instance.get_backfill(found.data["launchPartitionBackfill"]["backfillId"])
    assert backfill is not None
    return backfill


def planned(workspace: WorkspaceRequestContext, backfill: PartitionBackfill) -> list[list[dg.RunRequest]]:
    """Return the runs that Dagster's daemon asks for, one turn after the other, each of which succeeds."""
    graph, turns = workspace.asset_graph, list[list[dg.RunRequest]]()
    data = backfill.get_asset_backfill_data(graph)
    began = dt.datetime.fromtimestamp(backfill.backfill_timestamp, dt.UTC)
    while True:
        now = TemporalContext(effective_dt=began, last_event_id=None)
        view = AssetGraphView(temporal_context=now, instance=workspace.instance, asset_graph=graph)
        asked = execute_asset_backfill_iteration_inner(
            backfill.backfill_id, data, view, backfill.backfill_timestamp, _QUIET, None
        )
        data = asked.backfill_data.with_run_requests_submitted(asked.run_requests, view)
        stored = limit_to_target(backfill._replace(asset_backfill_data=data)).asset_backfill_data
        assert stored is not None
        data = stored
        for status in data.get_backfill_status_per_asset_key(graph):
            if isinstance(status, PartitionedAssetBackfillStatus):
                counted = sum(status.partitions_counts_by_status.values())
                assert counted <= status.num_targeted_partitions == len(DAYS)
        if not asked.run_requests:
            assert data.get_targeted_partitions_without_materialization_status().is_empty
            return turns
        turns.append(list(asked.run_requests))
        for request in asked.run_requests:
            succeed(workspace, request, backfill.backfill_id)


def succeed(workspace: WorkspaceRequestContext, request: dg.RunRequest, backfill: str) -> None:
    """Record what a run makes, and what a model that looks back makes of the day after."""
    run = create_run_for_test(workspace.instance, tags={**request.tags, BACKFILL_ID_TAG: backfill})
    for key in request.asset_selection or ():
        node = workspace.asset_graph.get(key)
        days: list[str | None] = [None]
        if node.is_partitioned:
            assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == DAYS[0]
            assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == DAYS[-1]
            days = [*DAYS, *([AFTER] if key.to_user_string() == LOOKS_BACK else [])]
        for day in days:
            tags = {CODE_VERSION_TAG: node.code_version or ""}
            made = StepMaterializationData(dg.AssetMaterialization(key, partition=day, tags=tags))
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
            event = dg.DagsterEvent(kind, run.job_name, event_specific_data=made)
            workspace.instance.report_dagster_event(event, run.run_id)


def names(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def test_a_range_of_everything_is_a_run_for_the_days_and_one_for_what_is_built_whole(
    workspace: WorkspaceRequestContext,
) -> None:
    graph = workspace.asset_graph
    daily = {key.to_user_string() for key in graph.materializable_asset_keys if graph.get(key).is_partitioned}
    data = [key for key in graph.materializable_asset_keys if MAINTENANCE not in graph.get(key).metadata]
    whole = {key.to_user_string() for key in data} - daily

    first = launched(workspace)
    turns = planned(workspace, first)
    assert [len(turn) for turn in turns] == [2, 2]  # the calendar is made for the first time
    assert {CALENDAR} in [names(request) for request in turns[0]]
    assert first.description is None

    again = launched(workspace)
    (days,), (rest,) = planned(workspace, again)
    assert names(days) == daily
    assert names(rest) == whole - {CALENDAR}
    assert again.description == f"Left out because unchanged: {CALENDAR}"
