"""Days, durations and refs as typed; errors suggest the command that was meant."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import typer

from millpond.errors import PartitionKeyError, RefNotFound
from millpond.naming import MAIN_REF, ref_name
from millpond.partitions import (
    RANGE_SEPARATOR,
    UNASKED,
    Window,
    check_day,
    check_window,
    latest_complete_day,
    parse_day,
)
from millpond.settings import settings

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def parse_span(text: str) -> dt.timedelta:
    """Return the duration; raises BadParameter for invalid text."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([dhm])", text.strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a duration; write it like 7d, 12h or 30m")
    return dt.timedelta(**{_UNITS[match[2]]: float(match[1])})


T = TypeVar("T")


def check_ref_and_days(ref: str | None, days: Callable[[], T]) -> T:
    """Return the result of `days`; if both the days and `ref` are wrong, the error says so."""
    try:
        return days()
    except PartitionKeyError as error:
        try:
            require_ref(ref)
        except RefNotFound as other:
            error.what += f"; and {other.what}"
            error.next_step += f"; then {other.next_step}"
        raise


def require_ref(ref: str | None) -> str:
    """Return `ref`, or that of the settings; raises RefNotFound, which says how to create it."""
    name = ref_name(ref or settings().ref)
    if name == MAIN_REF:
        return name
    from millpond.lake.catalog import load_catalog  # slow to import, and not needed for main

    try:
        load_catalog(name)
    except RefNotFound as error:
        raise RefNotFound(
            error.what,
            unharmed=error.unharmed,
            next_step=f"create it: `millpond branch create {name}`; see `millpond branch list`",
        ) from None
    return name


_DAY = r"(\d{4}-\d{2}-\d{2})"
_RANGE = re.compile(rf"{_DAY}\s*(?:\.+|…|:|/|,|;|-|–|to)\s*{_DAY}")
_MOST = 62
"""Days that a suggested command lists one by one."""


def parse_window(text: str, *, cut: bool = False) -> Window:
    """Return the window of a day or of days A...B as typed; errors suggest the command that was meant.

    With `cut`, days of a range that cannot be a partition are left out, as long as some can.
    """
    configured = settings()
    try:
        return check_window(Window.parse(text), configured.start_date, configured.zone, cut=cut)
    except PartitionKeyError as error:
        if meant := _guess_range(text):
            days = RANGE_SEPARATOR.join(map(str, meant))
            check_window(Window.parse(days), configured.start_date, configured.zone, cut=cut)
            error.next_step = _correct_command({text: days}) or error.next_step
        raise


def parse_days(start: str | None, end: str | None, partitions: str | None) -> list[dt.date] | None:
    """Return the days that options name, each checked; None if they name none. Raises PartitionKeyError."""
    configured = settings()
    earliest, zone = configured.start_date, configured.zone
    if partitions:
        return _parse_list(partitions)
    if not start and not end:
        return None
    first = check_day(parse_day(start), earliest, zone) if start else earliest
    last = check_day(parse_day(end), earliest, zone) if end else latest_complete_day(zone)
    try:
        return Window.of_days(first, last).days
    except PartitionKeyError as error:
        if start and end:
            error.next_step = _correct_command({start: end, end: start}) or error.next_step
        elif start:
            error.next_step = _correct_command({start: f"{start} --end-date {start}"}) or error.next_step
        raise


def _parse_list(partitions: str) -> list[dt.date]:
    configured = settings()
    earliest, zone = configured.start_date, configured.zone
    terms = [term.strip() for term in partitions.split(",") if term.strip()]
    meant = {term: RANGE_SEPARATOR.join(found) for term in terms if (found := _guess_range(term))}
    windows = [check_window(Window.parse(meant.get(term, term)), earliest, zone) for term in terms]
    days = {day for window in windows for day in window.days}
    if meant:
        span = f"--start-date {min(days)} --end-date {max(days)}"
        listed = ",".join(map(str, sorted(days)))
        one = len(terms) == 1 or len(days) == (max(days) - min(days)).days + 1
        raise PartitionKeyError(
            f"{next(iter(meant))!r} is not a partition key",
            unharmed=UNASKED,
            next_step=(
                _correct_command({partitions: span if one else listed}) if one or len(days) <= _MOST else ""
            )
            or "give a range by --start-date and --end-date, days one by one by --partitions",
        )
    return sorted(days)


def _guess_range(text: str) -> tuple[str, str] | None:
    """Return first and last day of what seems to be a range, in order of time."""
    if not (found := _RANGE.fullmatch(text.strip())):
        return None
    first, last = sorted(found.groups())
    return first, last


def _correct_command(changes: Mapping[str, str]) -> str:
    """Return the command that was typed with some values changed; blank if it does not hold them."""
    words, changed = [], set()
    for word in sys.argv[1:]:
        value = next((each for each in changes if word == each or word.endswith(f"={each}")), None)
        if value is None:
            words.append(shlex.quote(word))
            continue
        changed.add(value)
        option, new = word.removesuffix(value), changes[value]
        if new.startswith("--"):  # other options in place of this one
            if not option:
                words.pop()
            option = ""
        words.append(option + new)
    return f"`millpond {' '.join(words)}`" if changed == set(changes) else ""
