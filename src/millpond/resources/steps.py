"""What steps share: retry policies, interrupts without a retry, and events of checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster import AssetCheckExecutionContext, AssetExecutionContext, DagsterExecutionInterruptedError

from millpond.errors import (
    EmbeddedPartError,
    LockTimeout,
    MartsHeld,
    MergeConflict,
    OutcomeUnknown,
    PartitionConflict,
    StorageFailed,
)
from millpond.internals.dagster import (
    AssetCheckEvaluationTargetMaterializationData,
    announce_interrupt,
    find_check_target,
)

TRANSIENT = (
    *(LockTimeout, PartitionConflict, MergeConflict, OutcomeUnknown, StorageFailed),
    *(EmbeddedPartError, MartsHeld),
)
"""Transient errors: a lock, a conflict, a server that is restarting."""


def build_retry_policy(times: int, seconds: float) -> dg.RetryPolicy:
    """Return a policy of up to `times` retries, the first after up to `seconds`."""
    return dg.RetryPolicy(
        max_retries=times, delay=seconds, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL
    )


LAKE_STEP = build_retry_policy(2, 5)
"""For steps that only use our own storage; a source declares its own policy in its file."""


@contextmanager
def interrupts_are_final(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have an interrupt within the block end the step and the run, without a retry.

    Dagster 1.13 applies the retry policy first, so that an interrupted run would wait and start the step
    again. It records the run as canceled if that was announced, as "Terminate" in the pages does, else as
    failed.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interrupt:
        run = context.instance.get_run_by_id(context.run_id)
        if run and run.status == dg.DagsterRunStatus.STARTED:
            context.instance.report_run_canceling(run, "Its process was interrupted.")
        # Dagster raises it again before the next step begins, where no policy applies.
        announce_interrupt()
        raise dg.Failure("interrupted", allow_retries=False) from interrupt


class CheckEvents:
    """Turns results of a step's checks into the events that Dagster would make of them.

    Dagster looks up the materialization of each result. There is none for a step that checks data before it
    is materialized (`before=True`); otherwise it is the same for all checks of an asset.
    """

    def __init__(self, context: AssetExecutionContext | AssetCheckExecutionContext, *, before: bool) -> None:
        self._step = context.op_execution_context.get_step_execution_context()
        self._layer = self._step.job_def.asset_layer
        self._before = before
        self._asked = context.selected_asset_check_keys
        self._targets: dict[dg.AssetKey, AssetCheckEvaluationTargetMaterializationData | None] = {}

    def of(
        self, result: dg.AssetCheckResult, *, blocking: bool
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckEvaluation]:
        """Yield the output that later steps wait for, and the evaluation."""
        assert result.asset_key is not None
        assert result.check_name is not None
        key = dg.AssetCheckKey(result.asset_key, result.check_name)
        name = self._layer.get_op_output_name(key)
        assert name is not None
        yield dg.Output(None, name)
        yield dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            blocking=blocking,
            target_materialization_data=self._find_target(result, key),
        )

    def none(self, asset: dg.AssetKey) -> Iterator[dg.Output[Any]]:
        """Yield only the outputs that later steps wait for; there was no data to check."""
        for key in sorted(self._asked, key=str):
            if key.asset_key == asset and (name := self._layer.get_op_output_name(key)):
                yield dg.Output(None, name)

    def _find_target(
        self, result: dg.AssetCheckResult, key: dg.AssetCheckKey
    ) -> AssetCheckEvaluationTargetMaterializationData | None:
        if self._before:
            return None
        if key.asset_key not in self._targets:
            self._targets[key.asset_key] = find_check_target(self._step, result, key)
        return self._targets[key.asset_key]
