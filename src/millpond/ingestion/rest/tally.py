"""What the pages of one listing have shown so far; ends it when they lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence

from millpond.errors import ListingIncomplete, PagingLoop

_MOST_PAGES = 100_000
_MOST_EMPTY = 5
_TINY_PAGE = 10
_LOOP = "check endpoint.paginator in the spec: the source ignores how the next page is asked for"
_MOVED = "repeat it; if this persists the source needs a stable order of rows (a sort parameter), or a cursor"


class Tally:
    """Counts the pages and rows of a listing, and knows the keys of its rows.

    A row listed on an earlier page already may only repeat where two pages meet, as happens when rows come
    in while pages are read, or when pages overlap: `repeats` counts these.
    """

    def __init__(self) -> None:
        self.pages = self.rows = self.fresh = self.repeats = 0
        self.sizes: list[int] = []
        """How many rows the pages that had any held."""
        self.first: Sequence[int] = ()
        self._seen: set[int] = set()
        self._before: Sequence[int] = ()
        self._empty = self._stale = 0
        self._references: set[str] = set()

    @property
    def last(self) -> int:
        """How many rows the last page with rows held."""
        return self.sizes[-1] if self.sizes else 0

    @property
    def largest(self) -> int:
        """How many rows the largest page held."""
        return max(self.sizes, default=0)

    @property
    def distinct(self) -> int:
        """How many keys the rows had."""
        return len(self._seen)

    def take(self, keys: Sequence[int]) -> None:
        """Count a page by the keys of its rows; raises PagingLoop or ListingIncomplete."""
        self.pages += 1
        self.rows += len(keys)
        if not keys:
            self._empty += 1
            if self._empty > _MOST_EMPTY:
                raise PagingLoop(
                    f"{self._empty} empty pages follow one another without an end", next_step=_LOOP
                )
            return
        self._empty = 0
        self.sizes.append(len(keys))
        repeated = self._seen.intersection(keys)
        if self.pages > _MOST_PAGES:
            raise PagingLoop(f"there is no end after {_MOST_PAGES} pages", next_step=_LOOP)
        if repeated:
            self._check_repeats(keys, repeated, len(set(keys)))
        else:
            self._stale = 0
        self.fresh += len(keys) if not repeated else sum(key not in repeated for key in keys)
        self._seen.update(keys)
        self.first = self.first or keys
        self._before = keys

    def follow(self, reference: str) -> None:
        """Note the link or cursor of a next page; raises PagingLoop if it led to a page before."""
        if reference in self._references:
            raise PagingLoop(
                f"after page {self.pages + 1} it leads back to a page it led to before", next_step=_LOOP
            )
        self._references.add(reference)

    def led_to(self, reference: str) -> bool:
        """Return whether a link or cursor was followed before."""
        return reference in self._references

    def new(self, keys: Sequence[int]) -> int:
        """Return how many of `keys` no row had so far."""
        return len(set(keys) - self._seen)

    def check_first(self, keys: Sequence[int]) -> None:
        """Raise ListingIncomplete unless the first page, asked for again, explains why rows repeated.

        It does if it is the same (the pages overlap), or if new rows alone came before its old ones.
        """
        ahead = next((i for i, key in enumerate(keys) if key in self._seen), len(keys))
        rest = list(keys[ahead:])
        new_ahead = not set(keys[:ahead]) & self._seen
        if not (new_ahead and rest == list(self.first[: len(rest)]) and (rest or not self.first)):
            raise self._has_moved()

    def _check_repeats(self, keys: Sequence[int], repeated: set[int], distinct: int) -> None:
        stale = len(repeated) == distinct
        self._stale = self._stale + 1 if stale else 0
        ahead = next((i for i, key in enumerate(keys) if key not in repeated), len(keys))
        where_they_meet = set(keys[:ahead]) == repeated == set(self._before[-ahead:])
        if stale and (self._stale > 1 or not where_they_meet or len(keys) >= _TINY_PAGE):
            raise PagingLoop(f"page {self.pages} holds only rows that were listed before", next_step=_LOOP)
        if not where_they_meet:
            raise self._has_moved()
        self.repeats += len(repeated)

    def _has_moved(self) -> ListingIncomplete:
        return ListingIncomplete(
            f"rows moved between pages while they were read (see page {self.pages}), so some may be missing",
            next_step=_MOVED,
        )
