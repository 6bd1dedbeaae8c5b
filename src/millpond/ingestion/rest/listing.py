"""What one stream of requests has seen, and in which order its rows came."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

_FUTURE = 24 * 3600 * 1_000_000
_ENOUGH = 20
"""Rows from before a window that must follow one another before a listing is left off."""
_JUDGED = 10
"""Rows that a list must have for its order to be told from that of a few late rows."""
_WITNESSES = 3
"""Rows older than a day that show that a list goes further back than that day."""


class Order:
    """The times of a list that should have its newest rows first, and how far rows lie behind their place.

    Times in the future are not looked at.
    """

    def __init__(self) -> None:
        self.displaced = 0
        """Most rows that came before a row and are older than it."""
        self._before: list[tuple[int, int]] = []
        self._negated: list[int] = []
        self._limit = int(time.time() * 1_000_000) + _FUTURE

    def take(self, times: pa.ChunkedArray) -> None:
        """Note the times of a page, in microseconds."""
        known = pc.filter(times, pc.less(times, self._limit)).drop_null().to_pylist()
        for moment in known:
            older = len(self._negated) - bisect_right(self._negated, -moment)
            self.displaced = max(self.displaced, older)
            self._negated.insert(bisect_left(self._negated, -moment), -moment)
        if known:
            self._before.append((max(known), len(known)))

    @property
    def is_another(self) -> bool:
        """Whether the list has another order than newest first: more than half of it is out of place."""
        return len(self._negated) >= _JUDGED and 2 * self.displaced > len(self._negated)

    @property
    def oldest(self) -> int | None:
        """The oldest time but for odd ones: as many rows as show that a list goes back so far are older."""
        return -self._negated[-min(self._needed, len(self._negated))] if self._negated else None

    def has_passed(self, moment: int) -> bool:
        """Return whether whole pages from before `moment` came last, more than rows are out of place."""
        rows = 0
        for newest, size in reversed(self._before):
            if newest >= moment:
                break
            rows += size
        return rows > max(_ENOUGH, 2 * self.displaced)

    def goes_back_before(self, moment: int) -> bool:
        """Return whether enough rows are older than `moment` for all later ones to have been listed."""
        older = len(self._negated) - bisect_right(self._negated, -moment)
        return older >= max(self._needed, 2 * self.displaced + 1)

    @property
    def _needed(self) -> int:
        return max(_WITNESSES, len(self._negated) // 50)


@dataclass
class Listing:
    """One stream of requests: the time it asks for (microseconds, half-open), and what it has seen.

    `timed` rows have a time, `outside` of these lie outside of what was asked for by more than `margin`:
    `before` or `after` it. The first and the last instant of it have `at_start` and `at_end` rows.
    """

    start: int
    end: int
    margin: int = 0
    pages: int = 0
    rows: int = 0
    timed: int = 0
    before: int = 0
    after: int = 0
    at_start: int = 0
    at_end: int = 0
    last_rows: int = 0
    largest: int = 0
    ended: bool = False
    fields: set[str] = field(default_factory=set)
    order: Order = field(default_factory=Order)

    def take(self, times: pa.ChunkedArray, keeps_order: bool) -> None:
        """Note a page by the times of its rows; their order where it matters."""
        rows = len(times)
        self.pages += 1
        self.rows += rows
        if not rows:
            return
        self.last_rows, self.largest = rows, max(self.largest, rows)
        if keeps_order:
            self.order.take(times)
            return
        first, last = self.start - self.margin, self.end + self.margin
        self.timed += rows - times.null_count
        self.before += _count(pc.less(times, first))
        self.after += _count(pc.greater_equal(times, last))
        self.at_start += _count(pc.equal(times, first))
        self.at_end += _count(pc.equal(times, last))

    @property
    def outside(self) -> int:
        """How many rows lie before or after what was asked for."""
        return self.before + self.after


def _count(which: pa.ChunkedArray) -> int:
    return pc.sum(which).as_py() or 0
