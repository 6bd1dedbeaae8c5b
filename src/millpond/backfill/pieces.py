"""The pieces of a backfill, each one run of assets over consecutive days, and the counts of its loads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from millpond.partitions import Window

Key = tuple[str, dt.date | None]
"""A partition of an asset, or a whole asset."""


@dataclass(frozen=True)
class Piece:
    """One run: `assets` over each day of `window`, None for whole assets; `attempt` counts failures.

    Whole assets come after all days, except `early` ones, which come before. A run of days may include
    `whole` assets too; it is then one of the last.
    """

    assets: tuple[str, ...]
    window: Window | None
    attempt: int = 0
    early: bool = False
    whole: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All its assets, daily ones first."""
        return self.assets + self.whole

    @property
    def phase(self) -> int:
        """All pieces of a lower phase are closed before it starts."""
        return 0 if self.early else 1 if self.window and not self.whole else 2

    @property
    def keys(self) -> Iterator[Key]:
        """Each partition of each asset."""
        days: Sequence[dt.date | None] = self.window.days if self.window else (None,)
        yield from ((asset, day) for day in days for asset in self.assets)
        yield from ((asset, None) for asset in self.whole)

    def halves(self) -> list[Piece]:
        """Return the piece cut in two by days; itself if it is a single day."""
        if self.window is None or len(self.window) == 1:
            return [self]
        return [Piece(self.assets, half) for half in self.window.chunks((len(self.window) + 1) // 2)]


def group_pieces(keys: Iterable[Key], attempt: int = 0, early: Collection[str] = ()) -> list[Piece]:
    """Return the fewest pieces that hold exactly `keys`: by date, whole assets last, except `early` ones."""
    by_day: dict[dt.date | None, list[str]] = {}
    for asset, day in keys:
        by_day.setdefault(day, []).append(asset)
    whole = sorted(by_day.pop(None, []))
    pieces: list[Piece] = []
    for day in sorted(day for day in by_day if day):
        assets, window = tuple(sorted(by_day[day])), Window.of_day(day)
        last = pieces[-1] if pieces else None
        if last and last.assets == assets and last.window and last.window.end == day:
            pieces[-1] = Piece(assets, Window(last.window.start, window.end), attempt)
        else:
            pieces.append(Piece(assets, window, attempt))
    ahead, behind = [a for a in whole if a in early], [a for a in whole if a not in early]
    if ahead:
        pieces.insert(0, Piece(tuple(ahead), None, attempt, early=True))
    return [*pieces, Piece(tuple(behind), None, attempt)] if behind else pieces


COUNT_METADATA: Final = {
    "quarantined": "rows_quarantined",
    "nulled": "values_nulled",
    "no_value": "no_value_codes",
    "duplicates": "duplicates_dropped",
    "outside": "rows_outside_window",
}
"""Name of each count in the metadata of a materialization."""
_WORDS: Final = {
    "quarantined": "quarantined",
    "nulled": "invalid values became null",
    "no_value": "codes for no value",
    "duplicates": "duplicates dropped",
    "outside": "out of range",
}


def read_counts(metadata: Mapping[str, float]) -> dict[str, Any]:
    """Return the counts in the metadata of a materialization; none if nothing was loaded."""
    return {count: int(metadata[name]) for count, name in COUNT_METADATA.items() if name in metadata}


def format_counts(counts: Mapping[str, Any]) -> str:
    """Return the counts that are not zero, as text; empty if all are."""
    return ", ".join(f"{counts[name]:,} {words}" for name, words in _WORDS.items() if counts.get(name))
