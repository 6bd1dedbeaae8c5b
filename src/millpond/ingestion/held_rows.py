"""What is known of rows in memory without a query: their days, and how many are good where all are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from millpond.ingestion.reader import STREAM_SHIFT
from millpond.ingestion.validated_rows import Counts
from millpond.partitions import Window


def are_inside(days: pa.ChunkedArray, window: Window) -> bool:
    """Return whether all `days` are of `window`; nulls count for nothing."""
    ends = pc.min_max(days).as_py()
    return ends["min"] is None or (ends["min"] in window and ends["max"] in window)


def list_stream_days(held: pa.Table) -> Iterator[tuple[int, list[dt.date | None]]]:
    """Yield the number of each stream with the days of its rows; None where there is no time."""
    streams = pc.shift_right(held["_seq"], STREAM_SHIFT).combine_chunks()
    runs, start = pc.run_end_encode(streams), 0
    for stream, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield stream, held["__day"][start:end].unique().to_pylist()
        start = end


def count_good(held: pa.Table, window: Window) -> dict[dt.date, Counts]:
    """Return how many rows each day of `window` has; those of other days are left out."""
    counts = {day: Counts() for day in window.days}
    for found in pc.value_counts(held["__day"]).to_pylist():
        if found["values"] in counts:
            counts[found["values"]].good = found["counts"]
    return counts
