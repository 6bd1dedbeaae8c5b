"""One materialization per day, each with a data version of its own, also where a run loads many days.

Dagster gives all partitions of a run the same data version, and none of them a materialization if the step
fails. So the events are made here; the result that ends the step is marked to make none.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from millpond.ingestion.results import PartitionResult
from millpond.instance.record import UNFINISHED_TAG
from millpond.internals.dagster import (
    BACKFILL_ID_TAG,
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
    DagsterEventBatchMetadata,
)
from millpond.partitions import Window


def materializations(
    context: dg.AssetExecutionContext,
    loaded: Sequence[PartitionResult],
    more: dict[str, Any],
    began: dt.datetime,
    zone: ZoneInfo,
) -> Iterator[dg.DagsterEvent]:
    """Yield the materialization of each loaded day, stored as one batch; `more` is metadata of all.

    A day that had not ended in `zone` when the load `began` is marked as such.
    """
    step = context.op_execution_context.get_step_execution_context()
    batch = uuid.uuid4().hex
    current = context.assets_def.get_asset_spec(context.asset_key).code_version or ""
    backfill = context.run.tags.get(BACKFILL_ID_TAG)
    for number, day in enumerate(loaded, 1):
        partition = day.partition
        event = dg.AssetMaterialization(
            context.asset_key,
            partition=str(partition) if partition else None,
            metadata={**metadata(day), **more},
            tags={
                DATA_VERSION_TAG: day.content_hash,
                DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
                **_code_version(context, day, current),
                **({BACKFILL_ID_TAG: backfill} if backfill else {}),
                **({UNFINISHED_TAG: "true"} if _is_unfinished(day, began, zone) else {}),
            },
        )
        end = DagsterEventBatchMetadata(batch, number == len(loaded))
        yield dg.DagsterEvent.asset_materialization(step, event, end)


def _code_version(context: dg.AssetExecutionContext, day: PartitionResult, current: str) -> dict[str, str]:
    """Return the tag of the contract by which all rows of a day were validated.

    Where only quarantined rows were validated again, that is the one of the load before.
    """
    if not day.partly:
        return {CODE_VERSION_TAG: current}
    of_day = dg.AssetRecordsFilter(context.asset_key, asset_partitions=[str(day.partition)])
    for record in context.instance.fetch_materializations(of_day, limit=1).records:
        made = record.asset_materialization
        before = (made.tags or {}).get(CODE_VERSION_TAG) if made else None
        return {CODE_VERSION_TAG: before} if before else {}
    return {}


def _is_unfinished(day: PartitionResult, began: dt.datetime, zone: ZoneInfo) -> bool:
    if day.partition is None or day.unfinished is not None:
        return bool(day.unfinished)
    return began < Window.of_day(day.partition).bounds(zone)[1]


def done() -> dg.MaterializeResult[Any]:
    """Return the result that ends a step whose materializations were made already."""
    return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def metadata(day: PartitionResult) -> dict[str, Any]:
    """Return what a materialization says about its day."""
    found: dict[str, Any] = {
        **({"partition": str(day.partition)} if day.partition else {}),
        "rows_in_source": day.rows_in_source,
        "rows_loaded": day.rows_loaded,
        "rows_quarantined": day.rows_quarantined,
        "duplicates_dropped": day.duplicates_dropped,
        "rows_outside_window": day.rows_outside_window,
        "values_nulled": day.values_nulled,
        "no_value_codes": day.no_value_codes,
        "bytes": day.bytes,
        "seconds": day.seconds,
        # 64 bits are more than a browser's numbers hold.
        "snapshot_id": str(day.snapshot_id),
    }
    rows = day.rows_loaded if day.rows_in_partition is None else day.rows_in_partition
    found["dagster/partition_row_count" if day.partition else "dagster/row_count"] = rows
    if day.discarded:
        found["rows_discarded"] = day.discarded
    for name, counts in (
        ("quarantine_reasons", day.reasons),
        ("nulled_reasons", day.nulled),
        ("no_value_columns", day.no_value),
    ):
        if counts:
            found[name] = dg.MetadataValue.json(dict(counts))
    return found
