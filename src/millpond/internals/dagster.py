"""Parts of Dagster that `import dagster` loads anyway."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    AssetSelection,
    DagsterEventType,
    DataVersion,
    EventLogEntry,
    EventLogRecord,
    JobDefinition,
    TimeWindowPartitionsDefinition,
)
from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.asset_selection import DagsterInvalidAssetSelectionError
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD,
    get_input_data_version_tag,
)
from dagster._core.definitions.declarative_automation.operands.subset_automation_condition import (
    SubsetAutomationCondition,
)
from dagster._core.definitions.events import (
    AssetKeyPartitionKey,
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.definitions.metadata import normalize_metadata
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset import AllPartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.scoped_resources_builder import ScopedResourcesBuilder
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.definitions.timestamp import TimestampWithTimezone
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    AssetFailedToMaterializeData,
    AssetObservationData,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from dagster._core.execution.context.data_version_cache import DataVersionCache, InputAssetVersionInfo
from dagster._core.execution.plan.execute_step import _build_data_version_tags as build_data_version_tags
from dagster._core.execution.plan.execute_step import _get_code_version as get_code_version
from dagster._core.execution.plan.execute_step import _get_input_provenance_data as get_input_provenance_data
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.instance.config import ConcurrencyConfig
from dagster._core.instance.ref import InstanceRef
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.log_manager import DagsterLogHandler
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.event_log.base import AssetRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_MATERIALIZE_TAG,
    AUTO_OBSERVE_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    MAX_RETRIES_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    RUN_KEY_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)
from dagster._core.utils import coerce_valid_log_level, make_new_run_id
from dagster._record import copy as copy_record
from dagster._record import record
from dagster._serdes import ConfigurableClass, ConfigurableClassData, deserialize_value, serialize_value
from dagster._time import datetime_from_timestamp
from dagster._utils import interrupts
from dagster._utils.concurrency import ConcurrencyClaimStatus, ConcurrencySlotStatus
from dagster._utils.schedules import schedule_execution_time_iterator
from dagster.components.definitions import LazyDefinitions

if TYPE_CHECKING:
    from dagster_postgres import PostgresRunStorage


def announce_interrupt() -> None:
    """Have Dagster raise an interrupt before it begins the next step, as if a signal had come."""
    interrupts._received_interrupt["received"] = True


def sleep_until_claims() -> None:
    """Have a run that waits for slots of pools sleep until it may claim them again.

    Dagster 1.13 takes the lesser of that time and zero: the run asks a processor for it all the while.
    """

    def interval_to_next_pending_claim_check(self: Any) -> float:
        left = [at - time.time() for at in self._pending_timeouts.values()]
        return max(0.0, min(left, default=0.0))

    waits: Any = InstanceConcurrencyContext
    waits.interval_to_next_pending_claim_check = interval_to_next_pending_claim_check


def leave_out_unfit_assets(*marks: str) -> None:
    """Have `dagster asset materialize` leave assets out that its run cannot hold, as Dagster's pages do.

    Its selection `a*` includes external assets downstream, such as dbt's exposures, and assets with other
    partitions, and then fails. These, and what else has the metadata `marks`, stay if there are no others.
    """
    command: Any = sys.modules.get("dagster._cli.asset")
    if command is None or command.AssetSelection is not AssetSelection:
        return

    class FitSelection:
        def __init__(self, selection: AssetSelection) -> None:
            self._selection = selection.materializable()

        @classmethod
        def from_coercible(cls, selection: Any) -> FitSelection:
            return cls(AssetSelection.from_coercible(selection))

        @classmethod
        def all(cls) -> FitSelection:
            return cls(AssetSelection.all())

        def resolve(self, graph: AssetGraph, allow_missing: bool = False) -> AbstractSet[AssetKey]:
            found = self._selection.resolve(graph, allow_missing)
            fit = {key for key in found if graph.get(key).metadata.keys().isdisjoint(marks)}
            return found if allow_missing or not fit else fit  # `dagster asset list` allows missing ones

    command.AssetSelection = FitSelection


def find_check_target(
    step: Any, result: AssetCheckResult, key: AssetCheckKey
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return which materialization a check's result speaks of, as Dagster looks it up in the event log."""
    return result._get_target_materialization_data(step, key)


_KEPT_PARTS = 4


def keep_parts(job: JobDefinition) -> None:
    """Have runs of the same assets in this process share what Dagster derives from the job for them.

    Dagster derives the part of a job with these assets twice for each run, and serializes both and the whole
    job, as their records are named by their content.
    """
    shared: Any = job
    if "as_ephemeral_job" in vars(shared):
        return
    derive = job.as_ephemeral_job

    @lru_cache(_KEPT_PARTS)
    def derive_part(keys: frozenset[AssetKey]) -> JobDefinition:
        found = derive(resource_defs={}, input_values={}, asset_selection=[*keys])
        part: Any = found
        narrow: Callable[..., JobDefinition] = part.get_subset

        def get_subset(**selected: Any) -> JobDefinition:
            given = {name: value for name, value in selected.items() if value}
            return found if given == {"asset_selection": keys} else narrow(**selected)

        part.get_subset = get_subset
        return found

    def as_ephemeral_job(asset_selection: Sequence[AssetKey] | None = None, **others: Any) -> JobDefinition:
        if asset_selection and not any(others.values()):
            return derive_part(frozenset(asset_selection))
        return derive(asset_selection=asset_selection, **others)

    shared.as_ephemeral_job = as_ephemeral_job


@cache
def split_record() -> tuple[str, str, str]:
    """Return what Dagster writes before, between and after an event and its number in the record of both."""
    number, event = 987_654_321, EventLogEntry(None, 0, "", "", 0.0)  # type: ignore[no-untyped-call]
    both = serialize_value(EventLogRecord(storage_id=number, event_log_entry=event))
    start, rest = both.split(serialize_value(event))
    middle, end = rest.split(str(number))
    return start, middle, end


def read_states_at_once(
    read_inputs: Callable[[Any, dict[AssetKey, list[str] | None]], Mapping[AssetKey, Any]],
    read_newest: Callable[[Any, AssetKey, str], tuple[int, str, float] | bool],
) -> None:
    """Have steps read the versions of all inputs, and what a check speaks of, by these functions.

    Of an input they return its newest materialization, and with `used` the version of all that a step reads.

    Dagster takes two statements for each, and two more for each input with partitions; it still reads what
    `read_inputs` leaves out, and where `read_newest` is True.
    """
    caches: Any = DataVersionCache
    results: Any = AssetCheckResult
    fetch, find = caches._fetch_input_asset_version_info, results._get_partitioned_target_materialization_data

    def fetch_at_once(cache: Any, keys: Sequence[AssetKey]) -> None:
        context, known = cache._context, cache.input_asset_version_info
        days = {}
        for key in keys:
            with suppress(Exception):  # which Dagster raises, if it needs the days
                days[key] = _list_input_days(context, key)
        left = dict.fromkeys(keys)
        for key, found in read_inputs(context.instance.event_log_storage, days).items():
            made = cache.values.get(key)
            if made is None or made.value == found.version:  # else Dagster warns
                kind, version = DagsterEventType.ASSET_MATERIALIZATION, DataVersion(found.used)
                known[key] = InputAssetVersionInfo(found.id, kind, version, found.run, found.time)
                del left[key]
        if left:
            fetch(cache, list(left))

    caches._fetch_input_asset_version_info = fetch_at_once

    def find_newest(result: AssetCheckResult, step: Any, asset: AssetKey, day: str) -> Any:
        found = read_newest(step.instance.event_log_storage, asset, day)
        if isinstance(found, bool):
            return find(result, step, asset, day) if found else None
        number, run, time = found
        return AssetCheckEvaluationTargetMaterializationData(run_id=run, storage_id=number, timestamp=time)

    last: tuple[Any, ...] = (None, None, None)

    def find_once(result: AssetCheckResult, step: Any, *of: Any) -> Any:
        """Dagster asks twice for a result that a materialization brings along: then for its key alone."""
        nonlocal last
        again = result is last[0] and step is last[1]
        found = last[2] if again else find_newest(result, step, *of)
        last = (None, None, None) if again else (result, step, found)
        return found

    results._get_partitioned_target_materialization_data = find_once


def _list_input_days(step: Any, key: AssetKey) -> list[str] | None:
    """Return the partitions of an input that a step depends on; None if Dagster takes it as a whole."""
    name = step.job_def.asset_layer.get_node_input_name(step.node_handle, key)
    if not (name and step.has_asset_partitions_for_input(name)):
        return None
    days: Any = step.asset_partitions_subset_for_input(name, require_valid_partitions=False)
    if isinstance(days, AllPartitionsSubset) and isinstance(
        days.partitions_def, TimeWindowPartitionsDefinition
    ):
        with partition_loading_context(dynamic_partitions_store=step.instance):
            if days.partitions_def.get_num_partitions() >= SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD:
                return None
    found = list(days.get_partition_keys())
    return found if len(found) < SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD else None


def deserialize_event(text: str) -> EventLogEntry:
    """Return an event of the log."""
    return deserialize_value(text, EventLogEntry)


def use_engine(storage: PostgresRunStorage | Any, engine: Any) -> None:
    """Have one of Dagster's Postgres storages use the connections of `engine`."""
    storage._engine = engine
