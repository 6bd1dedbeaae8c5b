"""The most rows that each day of a table has had, if it has fewer now: a property of the table.

Without it, a day that shrinks a little with each write would only be compared with the last write.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, Literal

from millpond.lake.hashing import Digest, Digests

if TYPE_CHECKING:
    from millpond.lake.staging import Staging

PROPERTY: Final = "millpond.most_rows"

MostRows = Mapping[dt.date, int]
Keeping = Literal["record", "forget"]
"""Whether a write records the most rows of its days, or starts again from the rows that it writes."""


def read_most_rows(properties: Mapping[str, str]) -> dict[dt.date, int]:
    """Return the most rows of each day that has fewer now; empty for tables without the property."""
    recorded = json.loads(properties.get(PROPERTY) or "{}")
    return {dt.date.fromisoformat(day): rows for day, rows in recorded.items()}


def keep_most_rows(
    staging: Staging, days: Collection[dt.date], before: Digests, after: Digests, keeping: Keeping
) -> None:
    """Stage the property as a write of `days` changes it."""
    recorded = read_most_rows(staging.table_metadata.properties)
    kept = {day: rows for day, rows in recorded.items() if day not in days}
    if keeping == "record":
        for day in days:
            now = after.get(day, Digest()).rows
            most = max(recorded.get(day, 0), before.get(day, Digest()).rows)
            if most > now:
                kept[day] = most
    if kept != recorded:
        text = json.dumps({str(day): kept[day] for day in sorted(kept)}, separators=(",", ":"))
        staging.set_properties({PROPERTY: text})
