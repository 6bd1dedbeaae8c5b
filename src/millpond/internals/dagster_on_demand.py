"""Parts of Dagster that only some processes need: storage, servers, records of backfills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.internals.on_demand import import_on_demand

if TYPE_CHECKING:
    from dagster._cli import main as dagster_cli
    from dagster._cli.code_server import code_server_cli
    from dagster._core.execution.asset_backfill import AssetBackfillData
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        InstigatorTick,
        ScheduleInstigatorData,
        SensorInstigatorData,
        TickData,
        TickStatus,
    )
    from dagster._core.storage.base_storage import DagsterStorage
    from dagster._core.storage.event_log.migration import ASSET_DATA_MIGRATIONS, EVENT_LOG_DATA_MIGRATIONS
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        AssetEventTagsTable,
        AssetKeyTable,
        ConcurrencyLimitsTable,
        SqlEventLogStorageTable,
    )
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
    from dagster._core.storage.root import LocalArtifactStorage
    from dagster._core.storage.runs import RunStorage
    from dagster._core.storage.runs.migration import OPTIONAL_DATA_MIGRATIONS as OPTIONAL_RUN_MIGRATIONS
    from dagster._core.storage.runs.migration import REQUIRED_DATA_MIGRATIONS as REQUIRED_RUN_MIGRATIONS
    from dagster._core.storage.schedules.migration import (
        OPTIONAL_SCHEDULE_DATA_MIGRATIONS,
        REQUIRED_SCHEDULE_DATA_MIGRATIONS,
    )
    from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
    from dagster._core.storage.sql import get_alembic_config
    from dagster._daemon import controller as daemon_controller
    from dagster._daemon.cli import main as daemon_cli
    from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
    from dagster._grpc import server as grpc_server
    from dagster._grpc.__generated__ import dagster_api_pb2
    from dagster._grpc.proxy_server import DagsterProxyApiServicer
    from dagster_dbt.core import dbt_cli_event
    from dagster_dbt.core.dbt_cli_event import EventHistoryMetadata
    from dagster_dbt.core.dbt_cli_event import _build_column_lineage_metadata as build_column_lineage_metadata
    from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG
    from dagster_shared.error import SerializableErrorInfo
    from dagster_webserver.cli import main as webserver_cli
    from dagster_webserver.webserver import DagsterWebserver

PARTS = {
    "dagster_cli": "dagster._cli:main",
    "code_server_cli": "dagster._cli.code_server:code_server_cli",
    "AssetBackfillData": "dagster._core.execution.asset_backfill:AssetBackfillData",
    "BulkActionStatus": "dagster._core.execution.backfill:BulkActionStatus",
    "BulkActionsFilter": "dagster._core.execution.backfill:BulkActionsFilter",
    "PartitionBackfill": "dagster._core.execution.backfill:PartitionBackfill",
    "InstigatorState": "dagster._core.scheduler.instigation:InstigatorState",
    "InstigatorStatus": "dagster._core.scheduler.instigation:InstigatorStatus",
    "InstigatorTick": "dagster._core.scheduler.instigation:InstigatorTick",
    "ScheduleInstigatorData": "dagster._core.scheduler.instigation:ScheduleInstigatorData",
    "SensorInstigatorData": "dagster._core.scheduler.instigation:SensorInstigatorData",
    "TickData": "dagster._core.scheduler.instigation:TickData",
    "TickStatus": "dagster._core.scheduler.instigation:TickStatus",
    "DagsterStorage": "dagster._core.storage.base_storage:DagsterStorage",
    "ASSET_DATA_MIGRATIONS": "dagster._core.storage.event_log.migration:ASSET_DATA_MIGRATIONS",
    "EVENT_LOG_DATA_MIGRATIONS": "dagster._core.storage.event_log.migration:EVENT_LOG_DATA_MIGRATIONS",
    "AssetCheckExecutionsTable": "dagster._core.storage.event_log.schema:AssetCheckExecutionsTable",
    "AssetEventTagsTable": "dagster._core.storage.event_log.schema:AssetEventTagsTable",
    "AssetKeyTable": "dagster._core.storage.event_log.schema:AssetKeyTable",
    "ConcurrencyLimitsTable": "dagster._core.storage.event_log.schema:ConcurrencyLimitsTable",
    "SqlEventLogStorageTable": "dagster._core.storage.event_log.schema:SqlEventLogStorageTable",
    "SqlEventLogStorage": "dagster._core.storage.event_log.sql_event_log:SqlEventLogStorage",
    "LocalComputeLogManager": "dagster._core.storage.local_compute_log_manager:LocalComputeLogManager",
    "LocalArtifactStorage": "dagster._core.storage.root:LocalArtifactStorage",
    "RunStorage": "dagster._core.storage.runs:RunStorage",
    "OPTIONAL_RUN_MIGRATIONS": "dagster._core.storage.runs.migration:OPTIONAL_DATA_MIGRATIONS",
    "REQUIRED_RUN_MIGRATIONS": "dagster._core.storage.runs.migration:REQUIRED_DATA_MIGRATIONS",
    "OPTIONAL_SCHEDULE_DATA_MIGRATIONS": (
        "dagster._core.storage.schedules.migration:OPTIONAL_SCHEDULE_DATA_MIGRATIONS"
    ),
    "REQUIRED_SCHEDULE_DATA_MIGRATIONS": (
        "dagster._core.storage.schedules.migration:REQUIRED_SCHEDULE_DATA_MIGRATIONS"
    ),
    "SqlScheduleStorage": "dagster._core.storage.schedules.sql_schedule_storage:SqlScheduleStorage",
    "get_alembic_config": "dagster._core.storage.sql:get_alembic_config",
    "daemon_controller": "dagster._daemon.controller",
    "daemon_cli": "dagster._daemon.cli:main",
    "QueuedRunCoordinatorDaemon": "dagster._daemon.run_coordinator:QueuedRunCoordinatorDaemon",
    "dagster_api_pb2": "dagster._grpc.__generated__.dagster_api_pb2",
    "grpc_server": "dagster._grpc.server",
    "DagsterProxyApiServicer": "dagster._grpc.proxy_server:DagsterProxyApiServicer",
    "dbt_cli_event": "dagster_dbt.core.dbt_cli_event",
    "EventHistoryMetadata": "dagster_dbt.core.dbt_cli_event:EventHistoryMetadata",
    "build_column_lineage_metadata": "dagster_dbt.core.dbt_cli_event:_build_column_lineage_metadata",
    "DOCKER_CONTAINER_ID_TAG": "dagster_docker.docker_run_launcher:DOCKER_CONTAINER_ID_TAG",
    "SerializableErrorInfo": "dagster_shared.error:SerializableErrorInfo",
    "webserver_cli": "dagster_webserver.cli:main",
    "DagsterWebserver": "dagster_webserver.webserver:DagsterWebserver",
}

__getattr__ = import_on_demand(__name__, PARTS)


def read_result_metadata(
    result: dict[str, Any], document: Mapping[str, Any], translator: Any
) -> Mapping[str, Any]:
    """Return the metadata of the events that dagster-dbt makes of a result, empty if it makes none.

    `document` is the manifest.
    """
    from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

    message: Any = DbtCoreCliEventMessage(raw_event=result, event_history_metadata={})
    if not message.is_result_event:
        return {}
    found: Mapping[str, Any] = {}
    if message._is_model_execution_event(document):
        found = message._get_materialization_metadata(translator, document, None, None)
    if message._is_test_execution_event(document):
        found = message._get_check_execution_metadata(document)
    return found
