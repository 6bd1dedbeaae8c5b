"""Five days of readings that a source later lists with fewer rows, and what the lake holds of them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from fake_source import DAY, reading
from millpond.ingestion.acceptance import accept_held
from millpond.ingestion.results import LoadResult
from millpond.partitions import Window
from source_tables import raw, table_of

DAYS = [DAY + dt.timedelta(n) for n in range(5)]
TABLE = "raw.climate_entries"


def rows_of(*counts: int, **changes: Any) -> list[dict[str, Any]]:
    """Return as many readings of each of the days as `counts` says."""
    return [
        reading(n, day, **changes) for day, count in zip(DAYS, counts, strict=False) for n in range(count)
    ]


def stored() -> list[int]:
    """Return how many rows of each of the days are loaded."""
    found = Counter(raw("_partition_date"))
    return [found[day] for day in DAYS]


def accept(first: dt.date, last: dt.date | None = None) -> LoadResult:
    """Accept what was held back of the days."""
    _, table = table_of("climate_entries")
    return accept_held(table, Window.of_days(first, last or first), ref="main", run_id="accepted")
