"""Rows of Dagster's table of check results, made as Dagster makes them, so that many are stored at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from dagster import EventLogEntry
from sqlalchemy import bindparam

from millpond.internals.dagster import AssetCheckExecutionRecordStatus
from millpond.internals.dagster_on_demand import AssetCheckExecutionsTable

_CHECKS = AssetCheckExecutionsTable.c
_KEY = {"of_asset": "asset_key", "of_check": "check_name", "of_run": "run_id"}
_RESULT = (
    *("execution_status", "evaluation_event", "evaluation_event_timestamp"),
    *("evaluation_event_storage_id", "materialization_event_storage_id"),
)
UPDATE_RESULT = (
    AssetCheckExecutionsTable.update()
    .where(
        *(_CHECKS[column] == bindparam(name) for name, column in _KEY.items()),
        _CHECKS.partition.is_not_distinct_from(bindparam("of_day")),
    )
    .values({name: bindparam(name) for name in _RESULT})
)
"""Stores the result of a check, as `make_result` gives it, in the row of its plan."""


def list_planned(event: EventLogEntry, event_id: int, body: str) -> list[dict[str, Any]]:
    """Return the row of a planned check for each day of a run; `body` is the event as its log has it."""
    planned: Any = event.get_dagster_event().event_specific_data
    row = {
        "asset_key": planned.asset_key.to_string(),
        "check_name": planned.check_name,
        "run_id": event.run_id,
        "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
        **_describe_event(event, event_id, body),
    }
    subset = planned.partitions_subset
    return [row | {"partition": day} for day in (subset.get_partition_keys() if subset else [None])]


def make_result(event: EventLogEntry, event_id: int, body: str) -> dict[str, Any]:
    """Return the parameters of UPDATE_RESULT for the result of a check."""
    result: Any = event.get_dagster_event().event_specific_data
    status, of = AssetCheckExecutionRecordStatus, result.target_materialization_data
    return {
        "of_asset": result.asset_key.to_string(),
        "of_check": result.check_name,
        "of_run": event.run_id,
        "of_day": result.partition,
        "execution_status": (status.SUCCEEDED if result.passed else status.FAILED).value,
        "materialization_event_storage_id": of.storage_id if of else None,
        **_describe_event(event, event_id, body),
    }


def _describe_event(event: EventLogEntry, event_id: int, body: str) -> dict[str, Any]:
    return {
        "evaluation_event": body,
        "evaluation_event_timestamp": dt.datetime.fromtimestamp(event.timestamp, dt.UTC).replace(tzinfo=None),
        "evaluation_event_storage_id": event_id,
    }
