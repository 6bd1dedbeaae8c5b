"""Pauses garbage collection while modules load, which saves a sixth of that time, or makes it rare."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_RARELY: Final = (100_000, 20, 10)


def pause_collection() -> None:
    """Pause garbage collection until `resume_collection`; for the start of a command."""
    gc.disable()


def resume_collection() -> None:
    """Resume garbage collection, without the objects of modules that are imported by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def collect_rarely_in_children() -> None:
    """Have processes that are forked from this one collect garbage less often, and never what exists now."""
    gc.collect()
    gc.freeze()
    collect_rarely_from_now()


def collect_rarely_from_now() -> None:
    """Have this process collect garbage less often, as for work that it does again and again.

    To go back to the usual threshold when the work ends would collect at once, a fortieth of a day's time.
    """
    gc.set_threshold(*_RARELY)


@contextmanager
def collect_rarely() -> Iterator[None]:
    """Collect garbage less often within the block, and never what exists when it begins.

    For work that makes millions of objects and drops few of them in cycles.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
