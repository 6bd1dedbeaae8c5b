"""Rows outside of the time that was asked for, and what they say about the source's filter.

A source that filters by another time, or not at all, leaves out rows of the window just as it adds others.
"""

from __future__ import annotations

import re
from typing import Final

from millpond.errors import FilterIgnored
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.window import Shrink

_SHARE: Final = 100
"""One row, or one of so many, may lie outside by chance: a clock that is wrong, a bound that is inclusive."""
_WITNESSES: Final = 3
_CHANGES: Final = re.compile(r"updat|modif|chang|edit|revis|touch")
_PARTS_OF_TIME: Final = re.compile(r"[_ -]?(at|on|time|date|ts|timestamp|datetime)$")
_BOUNDS: Final = frozenset(
    {"from", "since", "until", "start", "stop", "begin", "before", "after", "time", "date"}
)
"""Words for bounds, which say nothing about a column that is called so too."""
_SHORTEST: Final = 4
"""Letters of a column's name from which on it may be part of a word in a parameter."""


def check_filter(table: SourceTable, listing: Listing) -> None:
    """Raise FilterIgnored if rows outside of the window show that the source does not filter by its time.

    A listing with rows before and after its window has all rows between them, if it is not mostly outside.
    """
    if not table.bounds or not listing.outside:
        return
    assert table.asked_time
    column = table.asked_time.column
    other = find_other_filter(table)
    if 2 * listing.outside > listing.timed:
        why = "so the source does not filter by it"
    elif other:
        why = f"as {other} names another time than {column}: rows of it may be missing"
    elif _is_notable(listing, again=table.http.paginator.type == "newest_first"):
        side = "after" if listing.after > listing.before else "before"
        why = f"most of them {side} it, so the source does not filter by it: rows of it may be missing"
    else:
        return
    what = "changes" if table.changes else "event_time"
    raise FilterIgnored(
        f"{listing.outside} of {listing.timed} rows lie outside of the time asked for, {why}",
        next_step="check window.params in the spec: their names, the form of time and the time zone that the"
        f" source expects, and that it filters by {column}, the column of {what}; if it"
        " always adds rows around the time asked for, say how long before and after in window.margin",
    )


def find_other_filter(table: SourceTable) -> str | None:
    """Return the parameter that names another time than that by which rows are asked for, if one does."""
    if not table.asked_time or not table.bounds:
        return None
    asked = table.asked_time.column
    event = _names(table, asked)
    others = {
        name
        for column in table.columns
        if column != asked
        for name in _names(table, column)
        if len(name) >= _SHORTEST and name not in _BOUNDS
    }
    for param, text in table.bounds.items():
        said = f"{param} {re.sub(r'{.*?}', ' ', text)}".lower()
        if any(_mentions(said, name) for name in event):
            continue
        changed = _CHANGES.search(said) and not any(_CHANGES.search(name) for name in event)
        if changed or any(name in said for name in others):
            return param
    return None


def shrink_rule(table: SourceTable) -> Shrink:
    """Return what the table's days may lose: nothing where the source filters by another time, by default.

    A row that changed is served for the day of its change, and is missing from its own.
    """
    rule = table.shrink
    if not find_other_filter(table) or "hold_below" in rule.model_fields_set:
        return rule
    return rule.model_copy(update={"hold_below": 1.0, "min_rows": 0})


def _is_notable(listing: Listing, *, again: bool) -> bool:
    """Return whether more rows than by chance lie on one side of the window, next to none on the other.

    A source may serve one odd row `again` with each page.
    """
    odd = max(listing.pages if again else 1, listing.timed // _SHARE)
    after, inside = listing.after, listing.timed - listing.outside
    if listing.at_end <= listing.at_start < inside:
        after -= listing.at_end  # an upper bound that is inclusive
    least = max(1, min(_WITNESSES, listing.timed // 10), listing.timed // 50)
    return listing.before + after > odd and min(listing.before, after) < least


def _mentions(said: str, name: str) -> bool:
    return name in said if len(name) >= _SHORTEST else name in re.split(r"[^a-z0-9]+", said)


def _names(table: SourceTable, column: str) -> set[str]:
    """Return the names of a column and its field, without what only says that they are times."""
    path = table.columns[column].path(column)
    return {_PARTS_OF_TIME.sub("", name.lower()) or name.lower() for name in (column, path[-1])}
