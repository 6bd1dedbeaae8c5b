"""Daily partitions: days, windows of days, and their bounds in UTC."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from millpond.errors import PartitionKeyError

RANGE_SEPARATOR = "..."
UNASKED = "everything; nothing was asked and nothing written"
"""What is unharmed by an invalid day, as days are parsed first."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TWO_DOTS = re.compile(r"(\d{4}-\d\d-\d\d)\s*(?:\.\.|:|/| to )\s*(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True, order=True)
class Window:
    """A run of whole days, half-open: `start` is the first day, `end` the day after the last."""

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise PartitionKeyError(
                f"the window {self.start} … {self.end} holds no day",
                unharmed=UNASKED,
                next_step="give a first day that is not after the last, for example 2026-11-01...2026-11-30",
            )

    @classmethod
    def of_day(cls, day: dt.date) -> Window:
        """Return the window of one day."""
        return cls(day, day + dt.timedelta(days=1))

    @classmethod
    def of_days(cls, first: dt.date, last: dt.date) -> Window:
        """Return the window from `first` to `last`, both included."""
        if last < first:
            raise PartitionKeyError(
                f"the range {first}{RANGE_SEPARATOR}{last} ends before it begins",
                unharmed=UNASKED,
                next_step=f"write {last}{RANGE_SEPARATOR}{first}",
            )
        return cls(first, last + dt.timedelta(days=1))

    @classmethod
    def parse(cls, text: str) -> Window:
        """Return the window that `2026-11-01` or `2026-11-01...2026-11-30` (end included) stands for.

        It is the inverse of `str`; raises PartitionKeyError for any other text.
        """
        first, dots, last = (part.strip() for part in text.partition(RANGE_SEPARATOR))
        if two := _TWO_DOTS.fullmatch(text):
            raise PartitionKeyError(
                f"{text!r} is not a range of days",
                unharmed=UNASKED,
                next_step=f"write three dots: {RANGE_SEPARATOR.join(sorted(two.groups()))}",
            )
        if dots and not (first and last):
            raise PartitionKeyError(
                f"{text[:80]!r} lacks its {'last' if first else 'first'} day",
                unharmed=UNASKED,
                next_step="give both days of a range, for example 2026-11-01...2026-11-30",
            )
        return cls.of_days(parse_day(first), parse_day(last or first))

    @property
    def option(self) -> str:
        """The option of commands for these days: `--partition 2026-11-01`, or `--range A...B`."""
        return f"{'--partition' if len(self) == 1 else '--range'} {self}"

    @property
    def last(self) -> dt.date:
        """The last day of the window."""
        return self.end - dt.timedelta(days=1)

    @property
    def days(self) -> list[dt.date]:
        """Each day of the window, in order."""
        return [self.start + dt.timedelta(days=i) for i in range((self.end - self.start).days)]

    def __len__(self) -> int:
        return (self.end - self.start).days

    def __contains__(self, day: dt.date) -> bool:
        return self.start <= day < self.end

    def __str__(self) -> str:
        return f"{self.start}" if len(self) == 1 else f"{self.start}{RANGE_SEPARATOR}{self.last}"

    def bounds(self, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
        """Return the window's first instant and the instant after its last, in UTC.

        Midnights are taken in `zone`, so a day has 23 or 25 hours where the clock is changed.
        """
        return instant(self.start, zone), instant(self.end, zone)

    def chunks(self, days: int) -> Iterator[Window]:
        """Yield the window cut into windows of at most `days` days."""
        start = self.start
        while start < self.end:
            end = min(start + dt.timedelta(days=days), self.end)
            yield Window(start, end)
            start = end


def instant(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the first instant of `day` in `zone`, in UTC."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def today(zone: ZoneInfo) -> dt.date:
    """Return the current day in `zone`."""
    return dt.datetime.now(zone).date()


def latest_complete_day(zone: ZoneInfo) -> dt.date:
    """Return the latest day that has ended in `zone`."""
    return today(zone) - dt.timedelta(days=1)


def parse_day(key: str) -> dt.date:
    """Return the day of a partition key `YYYY-MM-DD`; raises PartitionKeyError for anything else."""
    try:
        if not _DATE.fullmatch(key):
            raise ValueError(key)
        return dt.date.fromisoformat(key)
    except ValueError as error:
        raise PartitionKeyError(
            f"{key[:80]!r} is not a partition key",
            unharmed=UNASKED,
            next_step="give a day as YYYY-MM-DD, for example 2026-11-01",
        ) from error


def check_day(day: dt.date, start: dt.date, zone: ZoneInfo) -> dt.date:
    """Return `day`; raises PartitionKeyError if it is before `start` or has not begun in `zone`."""
    if day < start:
        raise PartitionKeyError(
            f"{day} lies before the first partition, {start}",
            unharmed=UNASKED,
            next_step="choose a later day, or set MILLPOND_START_DATE to an earlier one",
        )
    if day > (newest := today(zone)):
        raise PartitionKeyError(
            f"{day} has not begun yet (today is {newest} in {zone.key})",
            unharmed=UNASKED,
            next_step=f"choose a day up to {newest}",
        )
    return day


def check_window(window: Window, start: dt.date, zone: ZoneInfo, *, cut: bool = False) -> Window:
    """Return `window` if each of its days can be a partition, see `check_day`.

    With `cut`, days that cannot be a partition are left out, as long as some can.
    """
    first, last = window.start, window.last
    if cut and first <= (newest := today(zone)) and last >= start:
        first, last = max(first, start), min(last, newest)
    return Window.of_days(check_day(first, start, zone), check_day(last, start, zone))


def parse_windows(text: str) -> list[Window]:
    """Return the windows that `text` lists, separated by commas; none if it is empty."""
    return [Window.parse(part) for part in text.split(",") if part.strip()]


def contiguous(days: Iterable[dt.date]) -> list[Window]:
    """Return the fewest windows that together hold exactly `days`."""
    windows: list[Window] = []
    for day in sorted(set(days)):
        if windows and windows[-1].end == day:
            windows[-1] = Window(windows[-1].start, day + dt.timedelta(days=1))
        else:
            windows.append(Window.of_day(day))
    return windows
