"""The filters that all pages share, and how they are written in the address of a page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

PERIODS: Final = (7, 30, 90, 365)
DEFAULT_DAYS: Final = 30
INTERVALS: Final = (0, 10, 60)
"""Seconds between two refreshes of a page; 0 leaves it as it is."""
EARLIEST: Final = dt.date(2000, 1, 1)
NAMES: Final = ("days", "from", "to", "source", "layer", "owner", "refresh")
"""The parameters of the address, in their order."""


@dataclass(frozen=True)
class Choices:
    """What source, layer and owner can be set to; None if the definitions do not load."""

    source: tuple[str, ...] | None = None
    layer: tuple[str, ...] | None = None
    owner: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Filters:
    """Days `first` to `last`, both included, and the chosen names; an empty tuple is every name.

    `days` is the number of days up to today, or None for a period with fixed ends.
    """

    first: dt.date
    last: dt.date
    days: int | None = DEFAULT_DAYS
    source: tuple[str, ...] = ()
    layer: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    refresh: int = 0

    @classmethod
    def of_days(cls, days: int, today: dt.date) -> Filters:
        """Return the filters of the last `days` days, today included."""
        return cls(today - dt.timedelta(days=days - 1), today, days)

    def list_days(self) -> list[dt.date]:
        """Return each day of the period."""
        return [self.first + dt.timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass
class Parsed:
    """Filters, and a sentence for each part of the address that was ignored."""

    filters: Filters
    hints: list[str] = field(default_factory=list)


def parse_filters(given: Mapping[str, Sequence[str]], today: dt.date, choices: Choices) -> Parsed:
    """Return the filters that the parameters of an address name; malformed values are left out."""
    hints: list[str] = []
    first, last, days = _parse_period(given, today, hints)
    chosen = {
        name: _parse_names(name, given.get(name, ()), getattr(choices, name), hints)
        for name in ("source", "layer", "owner")
    }
    refresh = _parse_number("refresh", given, INTERVALS, 0, hints)
    return Parsed(Filters(first, last, days, **chosen, refresh=refresh), hints)


def format_filters(filters: Filters) -> dict[str, list[str]]:
    """Return the parameters of the address for `filters`; what is as usual is left out."""
    found: dict[str, list[str]] = {}
    if filters.days is None:
        found |= {"from": [str(filters.first)], "to": [str(filters.last)]}
    elif filters.days != DEFAULT_DAYS:
        found["days"] = [str(filters.days)]
    for name in ("source", "layer", "owner"):
        if values := getattr(filters, name):
            found[name] = list(values)
    if filters.refresh:
        found["refresh"] = [str(filters.refresh)]
    return found


def _parse_period(
    given: Mapping[str, Sequence[str]], today: dt.date, hints: list[str]
) -> tuple[dt.date, dt.date, int | None]:
    usual = Filters.of_days(_parse_number("days", given, PERIODS, DEFAULT_DAYS, hints), today)
    if "from" not in given and "to" not in given:
        return usual.first, usual.last, usual.days
    try:
        last = dt.date.fromisoformat(given["to"][0]) if given.get("to") else today
        first = dt.date.fromisoformat(given["from"][0]) if given.get("from") else last - dt.timedelta(29)
    except ValueError:
        hints.append("from and to are dates such as 2026-01-31")
        return usual.first, usual.last, usual.days
    if not EARLIEST <= first <= last <= today:
        hints.append(f"from and to are days from {EARLIEST} to today, the earlier one first")
        return usual.first, usual.last, usual.days
    return first, last, None


def _parse_number(
    name: str, given: Mapping[str, Sequence[str]], allowed: Sequence[int], usual: int, hints: list[str]
) -> int:
    if not given.get(name):
        return usual
    text = given[name][-1]
    if text.isascii() and text.isdecimal() and int(text[:6]) in allowed:
        return int(text)
    hints.append(f"{name} is {_join(map(str, allowed))}")
    return usual


def _parse_names(
    name: str, values: Sequence[str], allowed: Sequence[str] | None, hints: list[str]
) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(values))
    if allowed is None:
        return wanted
    unknown = [value for value in wanted if value not in allowed]
    if unknown:
        shown = ", ".join(value[:40] for value in unknown[:3])
        hints.append(f"there is no {name} {shown}")
    return tuple(value for value in wanted if value in allowed)


def _join(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}"
