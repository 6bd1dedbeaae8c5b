"""The windows of one write: as a row mask, as an Iceberg filter, and as text in the snapshot's summary."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    LessThan,
    Or,
    Reference,
)

from millpond.naming import quoted
from millpond.partitions import Window, contiguous, parse_windows

WHOLE = "all"
NOTHING = "none"


@dataclass(frozen=True)
class Windows:
    """The days a write replaces, as the fewest windows; `parts` None means the whole table."""

    parts: tuple[Window, ...] | None

    @classmethod
    def of(cls, window: Window | Windows | None) -> Windows:
        """Return the windows of a write with one window, or of the whole table."""
        if isinstance(window, Windows):
            return window
        return cls(None if window is None else (window,))

    @classmethod
    def parse(cls, text: str | None) -> Windows:
        """Return the windows of a snapshot's `millpond.window`; all if it has none."""
        if text == NOTHING:
            return cls(())
        if text is None or text == WHOLE:
            return cls(None)
        return cls(tuple(parse_windows(text)))

    def __or__(self, other: Windows) -> Windows:
        if self.parts is None or other.parts is None:
            return Windows(None)
        return Windows(tuple(contiguous(day for w in self.parts + other.parts for day in w.days)))

    def __and__(self, other: Windows) -> Windows:
        if self.parts is None or other.parts is None:
            return other if self.parts is None else self
        mine = {day for w in self.parts for day in w.days}
        return Windows(tuple(contiguous(day for w in other.parts for day in w.days if day in mine)))

    def overlaps(self, other: Windows) -> bool:
        """Return whether a day is in both."""
        if self.parts is None or other.parts is None:
            return bool(self) and bool(other)
        return any(one.start < two.end and two.start < one.end for one in self.parts for two in other.parts)

    def __bool__(self) -> bool:
        return self.parts is None or bool(self.parts)

    def __str__(self) -> str:
        return WHOLE if self.parts is None else ",".join(map(str, self.parts)) or NOTHING

    @property
    def days(self) -> list[dt.date]:
        """Each day, in order; none for the whole table."""
        return [day for w in self.parts or () for day in w.days]

    def months(self) -> Windows:
        """Return the whole months that these windows touch."""
        if self.parts is None:
            return self
        firsts = {day.replace(day=1) for w in self.parts for day in w.days}
        nexts = {first: (first + dt.timedelta(days=31)).replace(day=1) for first in firsts}
        return Windows(tuple(contiguous(d for a, b in nexts.items() for d in Window(a, b).days)))

    def mask(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each day of `column` whether it is in a window; null is outside."""
        if not self.parts:
            return pa.chunked_array([pa.repeat(self.parts is None, len(column))])
        day = pa.date32()
        masks = [
            pc.and_(pc.greater_equal(column, pa.scalar(w.start, day)), pc.less(column, pa.scalar(w.end, day)))
            for w in self.parts
        ]
        return pc.fill_null(reduce(pc.or_, masks), False)

    def sql(self, column: str | None) -> str:
        """Return the rows of these windows as an SQL condition (Trino)."""
        if self.parts is None:
            return "true"
        if column is None:
            return "true" if self.parts else "false"
        spans = [
            f"({quoted(column)} >= date '{w.start}' and {quoted(column)} < date '{w.end}')"
            for w in self.parts
        ]
        return f"({' or '.join(spans)})" if spans else "false"

    def filter(self, column: str | None) -> BooleanExpression:
        """Return the rows of these windows as an Iceberg expression."""
        if self.parts is None:
            return AlwaysTrue()
        if column is None:
            return AlwaysTrue() if self.parts else AlwaysFalse()
        spans: list[BooleanExpression] = [
            And(
                GreaterThanOrEqual(term=Reference(column), value=w.start),
                LessThan(term=Reference(column), value=w.end),
            )
            for w in self.parts
        ]
        nothing: BooleanExpression = AlwaysFalse()
        return reduce(Or, spans, nothing)
