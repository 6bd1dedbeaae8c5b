"""A recording of whole weeks that repeats endlessly from a fixed Monday.

A calendar day therefore always has the same data, weekdays keep their pattern, and there is always data up to
the present.
"""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

EPOCH_MS = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
"""A Monday, midnight in UTC, at which a repetition starts."""
WEEK_MS = 7 * 24 * 3600 * 1000


def read_recording(name: str) -> list[tuple[int, ...]]:
    """Return the rows of the file `recordings/<name>.csv.gz`, all numbers, described in its README."""
    packed = files(__package__).joinpath("recordings", f"{name}.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()[1:]
    return [tuple(map(int, line.split(","))) for line in lines]


@dataclass(frozen=True)
class Replay:
    """Sorted offsets in milliseconds within a period of whole weeks; entry i happens at offsets[i]."""

    offsets: npt.NDArray[np.int64]
    weeks: int

    @property
    def period(self) -> int:
        """Length of the recording in milliseconds."""
        return self.weeks * WEEK_MS

    def newest_first(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (index, time in milliseconds since 1970) of what happens in [start, end), newest first."""
        first, last = (start - EPOCH_MS) // self.period, (end - 1 - EPOCH_MS) // self.period
        for repetition in range(last, first - 1, -1):
            begin = EPOCH_MS + repetition * self.period
            low, high = np.searchsorted(self.offsets, (start - begin, end - begin))
            for index in range(int(high) - 1, int(low) - 1, -1):
                yield index, begin + int(self.offsets[index])
