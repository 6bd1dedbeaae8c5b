"""What a model is compared with: forecasts that need no training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from forecast.columns import Floats, to_floats
from forecast.features import find_values
from forecast.spec import Config, Linear, SameAsNow

COLUMN = "baseline_"
"""Beginning of the names of their columns beside the features."""


def baseline_names(config: Config) -> list[str]:
    """Return the names of the baselines."""
    return [each.kind for each in config.baselines]


def predict_baselines(rows: pa.Table, config: Config) -> dict[str, Floats]:
    """Return the forecast of each baseline for sorted rows; that of the mean is `predict_mean`."""
    found: dict[str, Floats] = {}
    for each in config.baselines:
        if isinstance(each, SameAsNow):
            found[each.kind] = to_floats(rows, each.column)
        elif isinstance(each, Linear):
            now = to_floats(rows, each.column)
            then = find_values(rows, config, each.column, -each.minutes)
            found[each.kind] = now + (now - then) * (config.target.minutes_ahead or 0.0) / each.minutes
    return found


def predict_mean(train_target: Floats, rows: int) -> Floats:
    """Return the mean of the training rows as the forecast of each of so many rows."""
    return np.full(rows, train_target.mean())
