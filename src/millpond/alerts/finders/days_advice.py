"""What failures of several days say is unharmed and to be done: each thing once, with its days."""

from __future__ import annotations

import re
from collections.abc import Sequence

from millpond.alerts.days import partition_of, shown_days
from millpond.resources.failure import DayFailure

_DAYS = re.compile(r"--(?:partition|range) \S+?(?=[`\s])|\d{4}-\d\d-\d\d(?:\.\.\.\d{4}-\d\d-\d\d)?")
_MOST = 6


def unharmed_by_days(failures: Sequence[DayFailure]) -> list[str]:
    """Return each thing that is unharmed, with its days; what is so for all comes last, without."""
    days: dict[str, list[str]] = {}
    for each in failures:
        for clause in filter(None, each.unharmed.split("; ")):
            days.setdefault(clause, []).append(each.days)
    of_some = [f"{_shown(about)}: {clause}" for clause, about in days.items() if len(about) < len(failures)]
    more = [f"… and {len(of_some) - _MOST} more like these"] if len(of_some) > _MOST else []
    of_all = [clause for clause, about in days.items() if len(about) == len(failures)]
    return [*of_some[:_MOST], *more, *of_all]


def next_step_by_days(failures: Sequence[DayFailure]) -> list[str]:
    """Return what to do, the days named for which the same is to be done."""
    steps: dict[str, list[DayFailure]] = {}
    for each in failures:
        if each.next:
            steps.setdefault(_DAYS.sub("days", each.next), []).append(each)
    return [_joined(group) for group in steps.values()]


def _joined(group: Sequence[DayFailure]) -> str:
    first = group[0].next
    others = [each.days for each in group if each.next != first]
    return f"{first} (the same for {_shown(others)})" if others else first


def _shown(days: Sequence[str]) -> str:
    return shown_days(partition_of(days) if all("..." not in each for each in days) else ", ".join(days))
