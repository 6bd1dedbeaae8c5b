"""What a load reports: each day that was loaded, with its counts, and why the others were not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from millpond.errors import MillpondError
from millpond.partitions import Window

if TYPE_CHECKING:
    from millpond.ingestion.upsert import Merged
    from millpond.ingestion.validated_rows import Counts
    from millpond.lake.spec import Written


WHOLE: Final = Window.of_day(dt.date(1970, 1, 1))
"""The window under which a table without days is loaded."""


@dataclass(frozen=True)
class PartitionResult:
    """A day that was loaded, or a table without days, of which `partition` is None.

    rows_in_source = loaded + quarantined + duplicates + outside + discarded.

    `bytes` is the size of its rows as the source served them, `seconds` its share of the load's time,
    `reasons` how many rows broke which rules, `nulled` how many bad values of loaded rows became null and
    why, `no_value` how many codes for "no value" each column had. `discarded` rows were removed from
    quarantine; `unfinished` says whether the day had not ended when its rows were fetched, None that this was
    just now.
    """

    partition: dt.date | None
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
    nulled: Mapping[str, int] = field(default_factory=dict)
    no_value: Mapping[str, int] = field(default_factory=dict)
    rows_in_partition: int | None = None
    """Rows that the day has, where those that came did not replace it."""
    discarded: int = 0
    unfinished: bool | None = None
    partly: bool = False
    """Whether only rows of its quarantine were validated."""

    @property
    def values_nulled(self) -> int:
        """How many bad values of loaded rows became null."""
        return sum(self.nulled.values())

    @property
    def no_value_codes(self) -> int:
        """How many values of loaded rows were codes for "no value"."""
        return sum(self.no_value.values())

    @classmethod
    def of(cls, day: dt.date, counts: Counts, written: Written, seconds: float) -> PartitionResult:
        """Return what became of a day: its rows, and how they were written."""
        return cls(
            partition=day if day in written.day_hashes else None,
            rows_in_source=counts.rows,
            rows_loaded=counts.good,
            rows_quarantined=counts.bad,
            duplicates_dropped=counts.duplicate,
            rows_outside_window=counts.outside,
            bytes=counts.bytes,
            seconds=round(seconds, 4),
            snapshot_id=written.snapshot_id,
            content_hash=written.day_hashes.get(day, written.content_hash),
            reasons=counts.reasons,
            nulled=counts.nulled,
            no_value=counts.no_value,
        )

    @classmethod
    def by_key(cls, day: dt.date, counts: Counts, merged: Merged, seconds: float) -> PartitionResult:
        """Return what became of the rows that came for a day, and how many the day has since."""
        return replace(cls.of(day, counts, merged.written, seconds), rows_in_partition=merged.rows[day])


@dataclass(frozen=True)
class LoadResult:
    """The days of a window that were loaded, and the reason for each that was not and stays as it was."""

    partitions: list[PartitionResult]
    failed: dict[dt.date, MillpondError]
    seconds: float
