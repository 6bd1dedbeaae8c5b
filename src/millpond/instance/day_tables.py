"""Writing a daily table of the lake from an asset of a project's own Python."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from millpond.errors import MillpondError
from millpond.instance.provenance import Inputs
from millpond.instance.unreachable import find_unreachable
from millpond.internals.dagster import (
    BACKFILL_ID_TAG,
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
    DagsterEventBatchMetadata,
)
from millpond.partitions import Window, contiguous
from millpond.redaction import redacted
from millpond.resources.run import RunInfo
from millpond.resources.steps import TRANSIENT, interrupts_are_final

if TYPE_CHECKING:
    import pyarrow as pa

    from millpond.lake.spec import TableSpec, Written

Build = Callable[[Window, str], "pa.Table"]


def write_days(
    context: dg.AssetExecutionContext,
    table: TableSpec,
    build: Build,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[dg.DagsterEvent | dg.MaterializeResult[Any]]:
    """Replace the days of the run in `table` with the rows that `build(window, ref)` returns, in one commit.

    Yields a materialization for each day, with the hash of its rows as data version and `metadata` besides.
    Days that no source upstream serves any more are left as they are. Raises Failure, with the table as it
    was, for a MillpondError.
    """
    with interrupts_are_final(context):
        run = RunInfo.of(context)
        assert run.window is not None
        asset = context.asset_key.to_user_string()
        graph = context.job_def.asset_layer.asset_graph
        gone = find_unreachable(context.instance, graph, [asset], run.ref, run.window).of(asset)
        inputs = Inputs.before(context, [asset], run.ref, run.window)
        for window in contiguous(day for day in run.window.days if day not in gone):
            began = time.perf_counter()
            written, rows = _replace(table, build, window, run)
            seconds = (time.perf_counter() - began) / len(window)
            common = {**(metadata or {}), "seconds": round(seconds, 4), "ref": run.ref}
            yield from _materialize(context, written, rows, common, inputs)
    context.op_execution_context.get_step_execution_context().wipe_input_asset_version_info(context.asset_key)
    yield dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def _replace(
    table: TableSpec, build: Build, window: Window, run: RunInfo
) -> tuple[Written, Counter[dt.date]]:
    from millpond.lake.spec import Replacement  # brings in pyarrow
    from millpond.lake.tables import replace

    try:
        rows = build(window, run.ref)
        (written,) = replace([Replacement(table, rows, window)], ref=run.ref, run_id=run.run_id)
    except MillpondError as error:
        raise dg.Failure(
            redacted(str(error)),
            metadata={"error": type(error).__name__},
            allow_retries=isinstance(error, TRANSIENT),
        ) from None
    days = rows[table.window_column].to_pylist() if rows.num_rows else []
    return written, Counter(days)


def _materialize(
    context: dg.AssetExecutionContext,
    written: Written,
    rows: Counter[dt.date],
    common: Mapping[str, Any],
    inputs: Inputs,
) -> Iterator[dg.DagsterEvent]:
    """Yield the materialization of each day, stored as one batch."""
    step, batch = context.op_execution_context.get_step_execution_context(), uuid.uuid4().hex
    code = context.assets_def.get_asset_spec(context.asset_key).code_version
    backfill = context.run.tags.get(BACKFILL_ID_TAG)
    for number, (day, content_hash) in enumerate(written.day_hashes.items(), 1):
        event = dg.AssetMaterialization(
            context.asset_key,
            partition=str(day),
            metadata={
                "partition": str(day),
                "rows": rows[day],
                "dagster/partition_row_count": rows[day],
                "snapshot_id": str(written.snapshot_id),  # a browser's numbers do not hold 64 bits
                **common,
            },
            tags={
                DATA_VERSION_TAG: content_hash,
                DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
                **inputs.tags(context.asset_key.to_user_string(), day),
                **({CODE_VERSION_TAG: code} if code else {}),
                **({BACKFILL_ID_TAG: backfill} if backfill else {}),
            },
        )
        last = DagsterEventBatchMetadata(batch, number == len(written.day_hashes))
        yield dg.DagsterEvent.asset_materialization(step, event, last)
