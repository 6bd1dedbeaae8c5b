"""The most rows that days of a table have held, as long as they hold fewer: a property of the table.

Without it a day that becomes a little smaller with each write would only be compared with the last of them.
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
"""Whether a write notes the most rows of its days, or makes what it writes the new measure."""


def read_most_rows(properties: Mapping[str, str]) -> dict[dt.date, int]:
    """Return the most rows of each day that holds fewer now; tables without the property have none."""
    noted = json.loads(properties.get(PROPERTY) or "{}")
    return {dt.date.fromisoformat(day): rows for day, rows in noted.items()}


def keep_most_rows(
    staging: Staging, days: Collection[dt.date], before: Digests, after: Digests, keeping: Keeping
) -> None:
    """Stage what a write of `days` leaves to be noted."""
    noted = read_most_rows(staging.table_metadata.properties)
    kept = {day: rows for day, rows in noted.items() if day not in days}
    if keeping == "record":
        for day in days:
            now = after.get(day, Digest()).rows
            most = max(noted.get(day, 0), before.get(day, Digest()).rows)
            if most > now:
                kept[day] = most
    if kept != noted:
        text = json.dumps({str(day): kept[day] for day in sorted(kept)}, separators=(",", ":"))
        staging.set_properties({PROPERTY: text})
