"""The ref that a command works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from millpond.errors import PartitionKeyError, RefNotFound
from millpond.naming import MAIN_REF, ref_name
from millpond.settings import settings

T = TypeVar("T")


def checked_with(ref: str | None, days: Callable[[], T]) -> T:
    """Return what `days` makes of what was typed; if they are wrong and `ref` is too, the error says both."""
    try:
        return days()
    except PartitionKeyError as error:
        try:
            existing(ref)
        except RefNotFound as other:
            error.what += f"; and {other.what}"
            error.next_step += f"; then {other.next_step}"
        raise


def existing(ref: str | None) -> str:
    """Return `ref`, or the one of the settings; raises RefNotFound telling how to create it."""
    name = ref_name(ref or settings().ref)
    if name == MAIN_REF:
        return name
    from millpond.lake.catalog import catalog  # takes a second or two, which main does without

    try:
        catalog(name)
    except RefNotFound as error:
        raise RefNotFound(
            error.what,
            unharmed=error.unharmed,
            next_step=f"create it: `millpond branch create {name}`; see `millpond branch list`",
        ) from None
    return name
