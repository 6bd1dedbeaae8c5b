"""Rows per day of a table of the lake, counted in one pass over its column of days."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window

if TYPE_CHECKING:
    from millpond.lake.refs import Pin


def rows_per_day(ref: str | Pin, table: str, window: Window) -> dict[dt.date, int]:
    """Return the rows of each day of `window` that has any; nothing where the table is not there yet."""
    import pyarrow.compute as pc

    from millpond.lake import read  # here, for it takes longer to load than all definitions

    if not read.exists(ref, table):
        return {}
    days = read.scan(ref, table, columns=[PARTITION_COLUMN], window=window)[PARTITION_COLUMN]
    return {found["values"].as_py(): found["counts"].as_py() for found in pc.value_counts(days)}
