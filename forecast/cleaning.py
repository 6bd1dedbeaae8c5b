"""Rows that can be used, and the others with the reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from forecast.columns import to_floats, to_seconds
from forecast.spec import Config


def split_bad_rows(rows: pa.Table, config: Config) -> tuple[pa.Table, pa.Table]:
    """Return the good rows, and the bad ones with the column `reason`, the first rule that each breaks.

    A value must be there, be a finite number, and lie within the bounds of its column.
    """
    reasons = np.full(rows.num_rows, "", dtype=object)
    for name, column in reversed(config.columns.items()):
        values = to_seconds(rows, name) if column.type == "timestamp" else to_floats(rows, name)
        if column.max is not None:
            reasons[values > column.max] = f"{name} is above {column.max:g}"
        if column.min is not None:
            reasons[values < column.min] = f"{name} is below {column.min:g}"
        reasons[np.isinf(values)] = f"{name} is infinite"
        reasons[np.isnan(values)] = f"{name} is not a number"
        reasons[np.asarray(rows[name].is_null().to_numpy(zero_copy_only=False))] = f"{name} is null"
    bad = reasons != ""
    refused = rows.filter(pa.array(bad)).append_column("reason", pa.array(reasons[bad], pa.string()))
    return rows.filter(pa.array(~bad)), refused
