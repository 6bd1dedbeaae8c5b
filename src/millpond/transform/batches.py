"""What a build asks of dbt beyond its options: one batch for all days, these nodes and no others.

This module, `thrift` and the adapters reach into dbt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from millpond.transform.invocation import LOCK, invoking

if TYPE_CHECKING:
    from dbt.materializations.incremental.microbatch import MicrobatchBuilder


@contextmanager
def one_batch(extra_days: Mapping[str, int]) -> Iterator[None]:
    """Make each microbatch model of the dbt calls within one batch, from the first day to the last.

    `extra_days` lengthens the batch of a model, by unique_id: for rows that depend on the days before theirs.
    dbt itself knows neither; its microbatch models run day by day then, slower but with the same rows.
    """
    from dbt.materializations.incremental.microbatch import MicrobatchBuilder

    original = MicrobatchBuilder.build_batches

    def whole(
        builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime
    ) -> list[tuple[dt.datetime, dt.datetime]]:
        return [(start, end + dt.timedelta(days=extra_days.get(builder.model.unique_id, 0)))]

    replaced: Any = MicrobatchBuilder
    with LOCK:
        replaced.build_batches = whole
        try:
            yield
        finally:
            replaced.build_batches = original


def one_batch_by_hand() -> None:
    """Make one batch of each microbatch model in all calls of dbt that are not ours."""
    from dbt.materializations.incremental.microbatch import MicrobatchBuilder

    original = MicrobatchBuilder.build_batches
    if hasattr(original, "by_hand"):
        return

    @wraps(original)
    def whole(
        builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime
    ) -> list[tuple[dt.datetime, dt.datetime]]:
        return original(builder, start, end) if invoking() else [(start, end)]

    whole.by_hand = True  # type: ignore[attr-defined]
    replaced: Any = MicrobatchBuilder
    replaced.build_batches = whole


@contextmanager
def only(unique_ids: Collection[str]) -> Iterator[None]:
    """Make the dbt calls within select the nodes `unique_ids`, in whatever words they would be selected.

    A selector of dbt's takes a name for all nodes that have it, and a path for all that lies below it.
    """
    from dbt.graph.selector import NodeSelector

    original = NodeSelector.get_selected

    def exactly(selector: NodeSelector, *_: object, **__: object) -> set[str]:
        return set(selector.filter_selection(set(unique_ids)))  # type: ignore[arg-type]

    replaced: Any = NodeSelector
    with LOCK:
        replaced.get_selected = exactly
        try:
            yield
        finally:
            replaced.get_selected = original


@contextmanager
def without_database() -> Iterator[None]:
    """Have `dbt compile` within fail nodes that ask the database for something, and go on to others."""
    from dbt.adapters.contracts.connection import LazyHandle
    from dbt.task.compile import CompileTask
    from dbt_common.exceptions import DbtRuntimeError

    def refuse(*_: object) -> None:
        raise DbtRuntimeError("it asks the database for something while it compiles")

    compiling: Any = CompileTask
    connecting: Any = LazyHandle
    originals = compiling.raise_on_first_error, connecting.resolve
    with LOCK:
        compiling.raise_on_first_error, connecting.resolve = (lambda _: False), refuse
        try:
            yield
        finally:
            compiling.raise_on_first_error, connecting.resolve = originals
