"""Columns of Arrow tables as arrays of NumPy, and rows in their order of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forecast.spec import Config

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
SECONDS_PER_MINUTE = 60.0


def to_floats(table: pa.Table, name: str) -> Floats:
    """Return a numeric column as floats; null is NaN."""
    return np.asarray(pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def to_seconds(table: pa.Table, name: str) -> Floats:
    """Return a column of timestamps as seconds since 1970, exact to the microsecond; null is NaN."""
    micros = pc.cast(pc.cast(table[name], pa.timestamp("us", "UTC")), pa.int64())
    return np.asarray(pc.cast(micros, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6


def to_array(values: Floats) -> pa.Array:
    """Return floats as an Arrow array; NaN is null."""
    return pa.array(values, pa.float64(), from_pandas=True)


def sort_rows(table: pa.Table, config: Config) -> pa.Table:
    """Return the rows by time, those of one time by their values, so that the order is always the same."""
    first = [config.source.time] if config.source.time else []
    names = [*first, *(name for name in table.column_names if name not in first)]
    return table.sort_by([(name, "ascending") for name in names]).combine_chunks()
