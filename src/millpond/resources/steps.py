"""What steps share: the retry policy, an end by Ctrl-C that is final, and events of checks."""

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
"""What a second try may find mended: a lock, a conflict, a server that was being restarted."""


def retry_policy(times: int, seconds: float) -> dg.RetryPolicy:
    """Return the policy: up to `times` more tries, the first after up to `seconds`."""
    return dg.RetryPolicy(
        max_retries=times, delay=seconds, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL
    )


LAKE_STEP = retry_policy(2, 5)
"""For steps that only read and write what is ours; a source says its own in its file."""


@contextmanager
def interrupts_are_final(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have an interrupt within the block end the step and then the run, whatever the retry policy says.

    Dagster 1.13 asks the policy first, so that a run told to end would wait and begin the step again. It
    records the run as canceled if that was announced, as "Terminate" in the pages does, else as failed.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interrupt:
        run = context.instance.get_run_by_id(context.run_id)
        if run and run.status == dg.DagsterRunStatus.STARTED:
            context.instance.report_run_canceling(run, "Its process was told to end.")
        # Dagster raises it anew before the next step begins, where no policy applies.
        announce_interrupt()
        raise dg.Failure("interrupted", allow_retries=False) from interrupt


class CheckEvents:
    """Turns results of a step's checks into the events that Dagster would make of them.

    Dagster looks up for each result which materialization it speaks of. A step that judges data before it is
    materialized (`before=True`) speaks of none yet; else the answer is the same for all checks of an asset.
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
            target_materialization_data=self._target(result, key),
        )

    def none(self, asset: dg.AssetKey) -> Iterator[dg.Output[Any]]:
        """Yield only the outputs that later steps wait for: nothing of the asset was there to be judged."""
        for key in sorted(self._asked, key=str):
            if key.asset_key == asset and (name := self._layer.get_op_output_name(key)):
                yield dg.Output(None, name)

    def _target(
        self, result: dg.AssetCheckResult, key: dg.AssetCheckKey
    ) -> AssetCheckEvaluationTargetMaterializationData | None:
        if self._before:
            return None
        if key.asset_key not in self._targets:
            self._targets[key.asset_key] = find_check_target(self._step, result, key)
        return self._targets[key.asset_key]
