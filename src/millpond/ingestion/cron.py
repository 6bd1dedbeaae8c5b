"""Cron expressions as a spec may give them: five fields, each within its bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_EXAMPLE = 'for example cron: "0 * * * *"'
_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 7, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)
_NEVER: Final = {(day, month) for day in ("30", "31") for month in ("2", "feb")} | {
    ("31", month) for month in ("4", "6", "9", "11", "apr", "jun", "sep", "nov")
}
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def checked_cron(text: str) -> str:
    """Return `text` if it is a cron expression; raises ValueError, which names what is wrong in it."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"has {len(fields)} fields, cron has five (minute, hour, day, month, weekday); {_EXAMPLE}"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _fits(part, low, high, names):
                raise ValueError(f"{part!r} is no {name} ({low} to {high}, *, a-b, */n); {_EXAMPLE}")
    if fields[4] == "*" and (fields[2], fields[3].lower()) in _NEVER:
        raise ValueError(f"names a day that no year has; {_EXAMPLE}")
    return text


def _fits(part: str, low: int, high: int, names: Sequence[str]) -> bool:
    found = _PART.fullmatch(part.lower())
    if not found or (found[4] is not None and not 1 <= int(found[4]) <= high):
        return False
    if found[1] == "*":
        return True
    if found[4] is not None and found[3] is None:
        return False
    ends = [_number(text, low, names) for text in (found[2], found[3] or found[2])]
    return all(low <= end <= high for end in ends) and ends[0] <= ends[1]


def _number(text: str, low: int, names: Sequence[str]) -> int:
    if text in names:
        return list(names).index(text) + low
    return int(text) if text.isdecimal() else -1
