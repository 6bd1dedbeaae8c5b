"""Replaces methods of dbt during a call: one batch for all days, exactly these nodes, no database.

This module, `dbt_patches` and the adapters depend on dbt's internals.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from millpond.transform.invocation import LOCK, is_invoking

if TYPE_CHECKING:
    from millpond.internals.dbt import MicrobatchBuilder

_Batches = list[tuple[dt.datetime, dt.datetime]]


def use_one_batch(extra_days: Mapping[str, int]) -> AbstractContextManager[None]:
    """Build each microbatch model in one batch, from the first day to the last, in the dbt calls within.

    `extra_days` extends the batch of a model, by unique_id: for rows that depend on the days before theirs.
    dbt itself has neither; it would run microbatch models day by day, slower but with the same rows.
    """
    from millpond.internals.dbt import MicrobatchBuilder

    def build_one(builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime) -> _Batches:
        return [(start, end + dt.timedelta(days=extra_days.get(builder.model.unique_id, 0)))]

    return _replace_method(MicrobatchBuilder, "build_batches", build_one)


def use_one_batch_by_hand() -> None:
    """Build each microbatch model in one batch in all calls of dbt that are not ours."""
    from millpond.internals.dbt import MicrobatchBuilder

    original = MicrobatchBuilder.build_batches
    if hasattr(original, "by_hand"):
        return

    def build_one(builder: MicrobatchBuilder, start: dt.datetime, end: dt.datetime) -> _Batches:
        return original(builder, start, end) if is_invoking() else [(start, end)]

    build_one.by_hand = True  # type: ignore[attr-defined]
    setattr(MicrobatchBuilder, "build_batches", build_one)  # noqa: B010 - mypy takes a method for a static one


def select_only(unique_ids: Collection[str]) -> AbstractContextManager[None]:
    """Select exactly the nodes `unique_ids` in the dbt calls within.

    A selector of dbt would select all nodes with a name, or all below a path.
    """
    from millpond.internals.dbt import NodeSelector

    def get_exactly(selector: NodeSelector, *_: object, **__: object) -> set[str]:
        return set(selector.filter_selection(set(unique_ids)))  # type: ignore[arg-type]

    return _replace_method(NodeSelector, "get_selected", get_exactly)


def ignore_environment() -> AbstractContextManager[None]:
    """Ignore dbt's environment variables: DBT_EMPTY, meant for dbt by hand, would empty tables."""
    return _replace_method(click.Option, "value_from_envvar", lambda *_: None)


@contextmanager
def forbid_database() -> Iterator[None]:
    """Have `dbt compile` within fail nodes that query the database, and continue with the others."""
    from dbt_common.exceptions import DbtRuntimeError

    from millpond.internals.dbt import CompileTask, LazyHandle

    def refuse(*_: object) -> None:
        raise DbtRuntimeError("it queries the database while it compiles")

    with (
        _replace_method(CompileTask, "raise_on_first_error", lambda _: False),
        _replace_method(LazyHandle, "resolve", refuse),
    ):
        yield


@contextmanager
def _replace_method(owner: type, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """Replace a method of dbt within the block, which only one thread at a time enters."""
    with LOCK:
        original = getattr(owner, name)
        setattr(owner, name, by)
        try:
            yield
        finally:
            setattr(owner, name, original)
