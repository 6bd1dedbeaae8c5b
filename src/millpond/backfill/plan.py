"""The plan of a backfill: the state of each partition, and the runs. `planner.py` makes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from millpond.partitions import Window

WIPED_REASON = "wiped; --accept-wiped of `millpond materialize` loads it again"


class State(StrEnum):
    """State of a partition before a backfill."""

    MISSING = "not materialized"
    FAILED = "failed"
    STALE = "stale"
    FRESH = "fresh"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Item:
    """One partition, or a whole asset (`partition` None): its state, the reason, and whether it is run."""

    asset: str
    partition: dt.date | None
    state: State
    reason: str
    todo: bool


@dataclass(frozen=True)
class Chunk:
    """One run: `assets` over each day of `window`; None for assets without partitions.

    Those come last, in one run or, as `whole`, after the days of the last run. Those that daily assets depend
    on come first, in a run of their own.
    """

    number: int
    assets: tuple[str, ...]
    window: Window | None
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Expected seconds, and what they are based on."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Plan:
    """The partitions of `selection` with their states, and the runs that bring them up to date.

    `code` is a hash of the assets' code versions, which a resumed backfill compares. `estimate` is None if
    there is no history to base it on.
    """

    selection: str
    ref: str
    code: str
    items: tuple[Item, ...]
    chunks: tuple[Chunk, ...]
    estimate: Estimate | None
    left_out: tuple[str, ...] = ()
    """A sentence for each selected asset that cannot be built yet."""

    def wiped(self) -> Iterator[Item]:
        """Yield the partitions that are left out as they were wiped."""
        return (item for item in self.items if item.reason == WIPED_REASON)

    def todo(self) -> Iterator[Item]:
        """Yield the partitions that will be run."""
        return (item for item in self.items if item.todo)
