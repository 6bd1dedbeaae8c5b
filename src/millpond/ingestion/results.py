"""What a load reports: each day that was loaded, with its counts, and why the others were not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from millpond.errors import MillpondError


@dataclass(frozen=True)
class PartitionResult:
    """A day that was loaded: rows_in_source = loaded + quarantined + duplicates + outside.

    `bytes` is the size of its rows as the source served them, `seconds` its share of the load's time,
    `reasons` how many rows broke which rules.
    """

    partition: dt.date
    rows_in_source: int
    rows_loaded: int
    rows_quarantined: int
    duplicates_dropped: int
    rows_outside_window: int
    bytes: int
    seconds: float
    snapshot_id: int | None
    content_hash: str
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadResult:
    """The days of a window that were loaded, and the reason for each that was not and stays as it was."""

    partitions: list[PartitionResult]
    failed: dict[dt.date, MillpondError]
    seconds: float
