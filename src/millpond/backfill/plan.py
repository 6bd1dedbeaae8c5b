"""What a backfill will do, decided before anything runs: the state of each partition, and the runs.

Plain data: what is here can be printed, stored and compared. `planning.py` makes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from millpond.partitions import Window


class State(StrEnum):
    """How a partition stands before a backfill."""

    MISSING = "not materialized"
    FAILED = "failed"
    STALE = "stale"
    FRESH = "fresh"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Item:
    """One partition of one asset, or a whole asset (`partition` None): its state, why, and if it is run."""

    asset: str
    partition: dt.date | None
    state: State
    reason: str
    todo: bool


@dataclass(frozen=True)
class Chunk:
    """One run: `assets` over each day of `window`; None for assets without partitions.

    Those come last, in one run or, as `whole`, after the days of a last one. Such as days are made from
    come first, in a run of their own.
    """

    number: int
    assets: tuple[str, ...]
    window: Window | None
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Expected seconds, and in words what they are computed from."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Plan:
    """The partitions of `selection` with their states, and the runs that bring up to date those to do.

    `code` is a hash of what the assets' code versions were; a resumed backfill compares it. `estimate` is
    None where this installation has no history to judge by.
    """

    selection: str
    ref: str
    code: str
    items: tuple[Item, ...]
    chunks: tuple[Chunk, ...]
    estimate: Estimate | None

    def todo(self) -> Iterator[Item]:
        """Yield the partitions that will be run."""
        return (item for item in self.items if item.todo)
