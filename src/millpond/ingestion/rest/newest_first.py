"""Paging back through time: the next page ends where the last one began, and no row is lost or doubled there.

Several rows may share the instant at which a page ends, and the page may hold only some of them. So rows of
that instant are held back and asked for again; what the next page does not serve again is not forgotten.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millpond.errors import FilterIgnored, ListingIncomplete, PagingLoop
from millpond.ingestion.rest.pages import PAYLOAD, TIME

_SORT = (
    "add the parameter that sorts the newest rows first to endpoint.params, or set another endpoint.paginator"
)
_BOUND = "correct the upper bound in window.params: its name, or the form of time that the source expects"


class NewestFirst:
    """A walk from `end` down to `start` (microseconds, half-open) in pages of at most `size` rows.

    After each `take`, `more` says whether to ask again, for rows before `end`, `size` at a time.
    `resolution` is the smallest step of a bound that the source understands. A source that has served two
    full pages and heeded the bound between them is asked for `most` rows at a time.
    """

    def __init__(self, start: int, end: int, size: int, resolution: int, most: int | None = None) -> None:
        self.start, self.end, self.size, self.more = start, end, size, True
        self._resolution, self._full, self._most = resolution, size, most or size
        self._held: pa.Table | None = None
        self._rows = self._asked = 0
        self._cap: int | None = None
        self._grown = self._doubted = self._disordered = False
        self._top = end
        self._newest: int | None = None
        self._above = False

    def take(self, page: pa.Table) -> pa.Table:
        """Return the rows of `page` to keep, with those held back from the page before that it lacks.

        Where the first page was not in order, the last request asks for rows above its newest.

        Raises PagingLoop if the source serves the oldest rows first, or cannot show all rows of one instant;
        FilterIgnored if it ignores the bounds and may have more rows; ListingIncomplete if it has several
        pages, and rows that are not in order. Odd rows, outside of the bounds, do not count.
        """
        if self._above:
            return self._nothing_above(page)
        if self._held is None:
            times = page[TIME].drop_null().to_numpy()
            self._newest = int(times.max()) if (np.diff(times) > 0).any() else None
        kept = self._accept(page)
        if not self.more and self._newest is not None:
            lower = self._bound_above(self._newest)
            if lower < self._top:
                self.start, self.end, self.more, self._above = lower, self._top, True, True
        return kept

    def _nothing_above(self, page: pa.Table) -> pa.Table:
        """End the walk if the source has nothing newer than the newest row of the first page."""
        times = page[TIME].drop_null().to_numpy()
        if ((times >= self.start) & (times < self.end)).any():
            raise PagingLoop("the source serves the oldest rows first, not the newest", next_step=_SORT)
        self.more = False
        return page.slice(0, 0)

    def _accept(self, page: pa.Table) -> pa.Table:
        first, held, self._held = self._held is None, self._held, None
        lost, rows = _without(held, page), page.num_rows
        times = page[TIME].drop_null().to_numpy()
        inside = times[(times >= self.start) & (times < self.end)]
        above = times[times >= self.end]
        if not first and (2 * len(above) > rows or (above < self._top).any()):
            return self._bound_ignored(page, lost)
        if self._grown and 0 < rows <= self._rows:
            raise self._too_many(rows)
        odd = len(times) - len(inside)
        news = rows - odd - (held.num_rows - lost.num_rows if held is not None else 0)
        if not first and news and self._rows < self._asked:
            self._cap = self._rows  # the page before looked like the last one, but was cut
        if news and self._doubted:
            raise self._too_many(self._rows)
        full = rows >= min(self._full, self._cap or self._full)
        self._rows, self._asked = rows, self.size
        if full:
            self._check_order(page)
        self._disordered |= bool((np.diff(inside) > 0).any())
        if self._disordered and (full or (news > 0 and not first)):
            raise ListingIncomplete(
                "its rows are not listed newest first, so some may be missing where two pages meet",
                next_step=_SORT,
            )
        self.more = (full or first or (odd > 0 and news > 0)) and len(inside) > 0
        if not self.more:
            return pa.concat_tables([page, lost])
        upper = self._next_bound(inside)
        if upper >= self.end:
            return self._one_instant(pa.concat_tables([page, lost]), int(inside.min()))
        self.end, self._grown = upper, False
        if full and not first:
            self.size = max(self.size, self._most)
        again = self._is_repeated(page)
        self._held = page.filter(again)
        return pa.concat_tables([page.filter(pc.invert(again)), lost])

    def _is_repeated(self, page: pa.Table) -> Any:
        """Return which rows of `page` the next request asks for too."""
        again = pc.and_(pc.less(page[TIME], self.end), pc.greater_equal(page[TIME], self.start))
        return pc.fill_null(again, False)

    def _next_bound(self, inside: Any) -> int:
        """Return where the next page ends: above the oldest two instants, to see rows out of order there.

        Of rows out of order all but the newest are asked for again: if the source cut them, others turn up.
        """
        instants = np.unique(inside)
        newest: int = int(instants[-1]) // self._resolution * self._resolution
        if self._disordered and instants[0] < newest < self.end:
            return newest
        for instant in instants[1::-1] if len(instants) > 2 else instants[:1]:
            upper = self._bound_above(int(instant))
            if upper < self.end:
                break
        return upper

    def _bound_above(self, instant: int) -> int:
        """Return the lowest bound above an instant that the source understands."""
        return -(-(instant + 1) // self._resolution) * self._resolution

    def _check_order(self, page: pa.Table) -> None:
        times = page[TIME].drop_null().to_numpy()
        if not len(times):
            raise PagingLoop(
                f"none of the {page.num_rows} rows of a full page has a time",
                next_step="correct event_time in the spec: its unit, or the field of its column",
            )
        if times[0] < times[-1] and (times[1:] >= times[:-1]).all():
            raise PagingLoop("the source serves the oldest rows first, not the newest", next_step=_SORT)

    def _bound_ignored(self, page: pa.Table, lost: pa.Table) -> pa.Table:
        if page.num_rows >= self._full:
            moment = dt.datetime.fromtimestamp(self.end / 1_000_000, dt.UTC)
            raise PagingLoop(
                f"asked for rows before {moment:%Y-%m-%d %H:%M:%S} UTC it serves the same or newer ones",
                next_step=_BOUND,
            )
        times = page[TIME].drop_null().to_numpy()
        in_order = bool((np.diff(times) <= 0).all())
        outside = bool(((times < self.start) | (times >= self._top)).any())
        if outside and not (in_order and times[-1] < self.start):
            raise FilterIgnored(
                f"it ignores the bounds it is given, and serves {page.num_rows} rows at a time of any days",
                next_step=_BOUND,
            )
        self.more = False  # a source that always serves all it has, and that was less than a page
        return pa.concat_tables([page.filter(self._is_repeated(page)), lost])

    def _one_instant(self, rows: pa.Table, instant: int) -> pa.Table:
        """Take a page of rows of one instant, of which there may be more than fit.

        A source that served fewer than it was asked for had no older ones: if it has, it serves no more at a
        time, and rows of the instant may be missing.
        """
        if self._cap and rows.num_rows >= self._cap:
            raise self._too_many(rows.num_rows)
        if rows.num_rows >= self.size:
            self._grown, self._held, self.size = True, rows, self.size * 4
            return rows.slice(0, 0)
        self.end = instant // self._resolution * self._resolution
        self.more, self._doubted, self._held = self.end > self.start, True, rows.slice(0, 0)
        return rows

    def _too_many(self, rows: int) -> PagingLoop:
        return PagingLoop(
            f"{rows} or more rows share one instant, and the source serves no more at a time",
            next_step="set page.size in the spec to more than that, or page by another time column",
        )


def _without(held: pa.Table | None, page: pa.Table) -> pa.Table:
    """Return the rows of `held` that `page` lacks, each as often as it lacks them."""
    if held is None or not held.num_rows:
        return page.slice(0, 0)
    since = pc.indices_nonzero(pc.greater_equal(page[TIME], pc.min(held[TIME])))
    served = Counter(text.strip() for text in page[PAYLOAD].take(since).to_pylist())
    missing = []
    for index, text in enumerate(held[PAYLOAD].to_pylist()):
        served[text.strip()] -= 1
        if served[text.strip()] < 0:
            missing.append(index)
    return held.take(pa.array(missing, pa.int64()))
