"""Dagster's events of a merged build: a materialization per asset and day, and the check results.

Dagster gives all partitions of a run one data version, and treats a partition as changed if its version
differs. So the events of days are created here, each with the hash of its day, and the step's own results
create none.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster import DataVersion

from millpond.instance.provenance import Inputs
from millpond.instance.record import Day
from millpond.internals.dagster import (
    BACKFILL_ID_TAG,
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
    DagsterEventBatchMetadata,
    build_data_version_tags,
    get_code_version,
    get_input_provenance_data,
)
from millpond.resources.steps import CheckEvents
from millpond.transform.results import DbtTestResult, ModelBuilt

_OF_DBT = ("unique_id", "invocation_id", "status")
_Found = Iterator[dg.DagsterEvent | dg.MaterializeResult[Any]]
_Checked = Iterator[dg.Output[Any] | dg.AssetCheckEvaluation]


def materialize_days(
    context: dg.AssetExecutionContext, built: ModelBuilt, ref: str, inputs: Inputs
) -> _Found:
    """Yield the materialization of each day of a daily model, stored as one batch, and the step's result.

    If the model looks back, they include days after the window, which were written too.
    """
    key, batch = _make_key(built.model), uuid.uuid4().hex
    step = context.op_execution_context.get_step_execution_context()
    backfill = context.run.tags.get(BACKFILL_ID_TAG)
    days = built.written.day_hashes
    of_run = {BACKFILL_ID_TAG: backfill} if backfill else {}
    of_all = _build_version_tags(context, key, built.written.content_hash)
    for number, (day, content_hash) in enumerate(days.items(), 1):
        event = dg.AssetMaterialization(
            key,
            partition=str(day),
            metadata=_describe_day(built, day, ref),
            tags=of_all | {DATA_VERSION_TAG: content_hash} | inputs.tags(built.model, day) | of_run,
        )
        last = DagsterEventBatchMetadata(batch, number == len(days))
        yield dg.DagsterEvent.asset_materialization(step, event, last)
    step.wipe_input_asset_version_info(key)
    yield dg.MaterializeResult(key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def materialize_nothing(context: dg.AssetExecutionContext, model: str) -> Iterator[Any]:
    """Yield the results of a model that was not built: later steps continue, and nothing is recorded."""
    key = _make_key(model)
    yield dg.MaterializeResult(key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
    yield from CheckEvents(context, before=True).none(key)


def materialize_whole(built: ModelBuilt, ref: str, inputs: Inputs) -> dg.MaterializeResult[Any]:
    """Return the materialization of a model that is built whole."""
    return dg.MaterializeResult(
        _make_key(built.model),
        metadata=_describe_whole(built, ref),
        data_version=DataVersion(built.written.content_hash),
        tags=inputs.tags(built.model),
    )


def repeat_last(
    context: dg.AssetExecutionContext, model: str, snapshot_id: int | None, ref: str
) -> dg.MaterializeResult[Any] | None:
    """Return a model's last materialization, if its code and its table on `ref` are unchanged."""
    key = _make_key(model)
    event = context.instance.get_latest_materialization_event(key)
    last = event.asset_materialization if event else None
    if last is None or last.tags is None:
        return None
    step = context.op_execution_context.get_step_execution_context()
    then = (last.tags.get(CODE_VERSION_TAG), *(_get_value(last, name) for name in ("snapshot_id", "ref")))
    if then != (get_code_version(key, step), str(snapshot_id), ref):
        return None
    return dg.MaterializeResult(
        key, metadata=last.metadata, data_version=DataVersion(last.tags[DATA_VERSION_TAG])
    )


def materialize_unselected(context: dg.AssetExecutionContext, built: ModelBuilt, ref: str) -> dg.DagsterEvent:
    """Return the materialization of a model that the step built although it was not selected."""
    key = _make_key(built.model)
    step = context.op_execution_context.get_step_execution_context()
    event = dg.AssetMaterialization(
        key,
        metadata=_describe_whole(built, ref),
        tags=_build_version_tags(context, key, built.written.content_hash),
    )
    return dg.DagsterEvent.asset_materialization(step, event)


def get_versions(built: ModelBuilt) -> Mapping[Day, str]:
    """Return the data versions of a built model."""
    days: dict[Day, str] = dict(built.written.day_hashes.items())
    return days or {None: built.written.content_hash}


def report_checks(context: dg.AssetExecutionContext, results: Iterable[DbtTestResult]) -> _Checked:
    """Yield the results of the checks that are selected in this step, with dagster-dbt's metadata."""
    events, selected = CheckEvents(context, before=True), set(context.selected_asset_check_keys)
    for found in results:
        if found.model and dg.AssetCheckKey(_make_key(found.model), found.check) in selected:
            result = dg.AssetCheckResult(
                passed=found.passed,
                asset_key=_make_key(found.model),
                check_name=found.check,
                severity=dg.AssetCheckSeverity.ERROR if found.blocking else dg.AssetCheckSeverity.WARN,
                description=found.message or None,
                metadata={
                    **found.metadata,
                    "failures": found.failures,
                    "seconds": round(found.seconds, 4),
                    **({"samples": format_samples(found.samples)} if found.samples else {}),
                },
            )
            yield from events.of(result, blocking=found.blocking)


def format_samples(rows: Iterable[Mapping[str, Any]]) -> dg.JsonMetadataValue:
    """Return sample rows as metadata."""
    return dg.MetadataValue.json(
        [{name: _to_json_value(value) for name, value in row.items()} for row in rows]
    )


def _build_version_tags(
    context: dg.AssetExecutionContext, key: dg.AssetKey, content_hash: str
) -> dict[str, str]:
    """Return the tags by which Dagster recognizes changes of an asset or its inputs."""
    step = context.op_execution_context.get_step_execution_context()
    inputs = get_input_provenance_data(key, step)
    return build_data_version_tags(DataVersion(content_hash), get_code_version(key, step), inputs, True)


def _make_key(model: str) -> dg.AssetKey:
    return dg.AssetKey.from_user_string(model)


def _get_value(event: dg.AssetMaterialization, name: str) -> object:
    found = event.metadata.get(name)
    return found.value if found else None


def _describe_day(built: ModelBuilt, day: dt.date, ref: str) -> dict[str, Any]:
    rows = built.day_rows.get(day, 0)
    return {
        **{name: built.metadata[name] for name in _OF_DBT if name in built.metadata},
        "partition": str(day),
        "rows": rows,
        "dagster/partition_row_count": rows,
        "seconds": round(built.seconds / max(1, len(built.written.day_hashes)), 4),
        # A browser's numbers do not hold 64 bits.
        "snapshot_id": str(built.written.snapshot_id),
        "ref": ref,
    }


def _describe_whole(built: ModelBuilt, ref: str) -> dict[str, Any]:
    return {
        **built.metadata,
        "rows": built.written.rows,
        "dagster/row_count": built.written.rows,
        "bytes": built.written.bytes,
        "seconds": round(built.seconds, 3),
        "snapshot_id": str(built.written.snapshot_id),
        "ref": ref,
    }


def _to_json_value(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
