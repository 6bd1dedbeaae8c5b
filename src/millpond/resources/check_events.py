"""What a step tells Dagster of its checks, without a look into the event log for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import AssetCheckExecutionContext, AssetExecutionContext

from millpond.internals.dagster import AssetCheckEvaluationTargetMaterializationData, find_check_target


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
