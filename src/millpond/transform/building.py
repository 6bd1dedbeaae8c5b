"""The build under way: what the runner tells the plugin inside dbt, and what the plugin reports back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from millpond.errors import MillpondError
from millpond.lake.spec import Written


@dataclass(frozen=True)
class Stored:
    """A model's result after it was written to the branch; `seconds` are the write's alone."""

    unique_id: str
    written: Written
    seconds: float
    day_rows: Mapping[dt.date, int]
    """Rows of each day that has any; empty for a model that is built whole."""


@dataclass
class Building:
    """A build on one branch."""

    ref: str
    run_id: str
    on_event: Callable[[Stored], None]
    full_refresh: bool = False
    """Whether daily models are built whole, as dbt does with `--full-refresh`."""
    stored: dict[str, Stored] = field(default_factory=dict)
    """By the unique_id of the model."""
    makers: Mapping[str, str] | None = None
    """Of each table that a model makes, its unique_id; None until something asks."""
    broken_off: list[MillpondError] = field(default_factory=list)
    """What says that a server broke off, not that a model is wrong."""

    def add(self, stored: Stored) -> None:
        """Note that a model was written."""
        self.stored[stored.unique_id] = stored
        self.on_event(stored)


_now: list[Building] = []


@contextmanager
def building(build: Building) -> Iterator[Building]:
    """Make `build` the one that dbt's plugin works for within the block; hold invocation.LOCK around it."""
    _now.append(build)
    try:
        yield build
    finally:
        _now.remove(build)


def under_way() -> Building | None:
    """Return the build of this process, None where dbt was started by hand."""
    return _now[-1] if _now else None
