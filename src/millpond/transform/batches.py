"""What a build asks of dbt beyond its options: one batch for all days, these nodes and no others.

This module, `dbt_patches` and the adapters reach into dbt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from millpond.transform.invocation import LOCK, invoking

if TYPE_CHECKING:
    from millpond.internals.dbt import MicrobatchBuilder

_Batches = list[tuple[dt.datetime, dt.datetime]]


def one_batch(extra_days: Mapping[str, int]) -> AbstractContextManager[None]:
    """Make each microbatch model of the dbt calls within one batch, from the first day to the last.

    `extra_days` lengthens the batch of a model, by unique_id: for rows that depend on the days before theirs.
    dbt itself knows neither; its microbatch models run day by day then, slower but with the same rows.
    """
    from millpond.internals.dbt import MicrobatchBuilder

    def whole(builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime) -> _Batches:
        return [(start, end + dt.timedelta(days=extra_days.get(builder.model.unique_id, 0)))]

    return _replaced(MicrobatchBuilder, "build_batches", whole)


def one_batch_by_hand() -> None:
    """Make one batch of each microbatch model in all calls of dbt that are not ours."""
    from millpond.internals.dbt import MicrobatchBuilder

    original = MicrobatchBuilder.build_batches
    if hasattr(original, "by_hand"):
        return

    def whole(builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime) -> _Batches:
        return original(builder, start, end) if invoking() else [(start, end)]

    whole.by_hand = True  # type: ignore[attr-defined]
    setattr(MicrobatchBuilder, "build_batches", whole)  # noqa: B010 - mypy takes a method for a static one


def only(unique_ids: Collection[str]) -> AbstractContextManager[None]:
    """Make the dbt calls within select the nodes `unique_ids`, in whatever words they would be selected.

    A selector of dbt's takes a name for all nodes that have it, and a path for all that lies below it.
    """
    from millpond.internals.dbt import NodeSelector

    def exactly(selector: NodeSelector, *_: object, **__: object) -> set[str]:
        return set(selector.filter_selection(set(unique_ids)))  # type: ignore[arg-type]

    return _replaced(NodeSelector, "get_selected", exactly)


def without_environment() -> AbstractContextManager[None]:
    """Have options of dbt come from the call alone: DBT_EMPTY, meant for dbt by hand, would empty tables."""
    return _replaced(click.Option, "value_from_envvar", lambda *_: None)


@contextmanager
def without_database() -> Iterator[None]:
    """Have `dbt compile` within fail nodes that ask the database for something, and go on to others."""
    from dbt_common.exceptions import DbtRuntimeError

    from millpond.internals.dbt import CompileTask, LazyHandle

    def refuse(*_: object) -> None:
        raise DbtRuntimeError("it asks the database for something while it compiles")

    with (
        _replaced(CompileTask, "raise_on_first_error", lambda _: False),
        _replaced(LazyHandle, "resolve", refuse),
    ):
        yield


@contextmanager
def _replaced(owner: type, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """Replace a method of dbt's within the block, which no other thread shares with this one."""
    with LOCK:
        original = getattr(owner, name)
        setattr(owner, name, by)
        try:
            yield
        finally:
            setattr(owner, name, original)
