"""Which rows are trained on, which choose between models, and which are held out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forecast.columns import SECONDS_PER_MINUTE, Flags, Floats, to_seconds
from forecast.spec import Config

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_DAY = 86_400.0


def split_rows(config: Config, seconds: Floats | None, count: int) -> npt.NDArray[np.str_]:
    """Return the part of each row: train, validation, test, or empty if it is in none.

    By time the last days are the test, the days before them the validation, cut at midnight in UTC. A row
    before a cut whose target lies after it is in no part, so that nothing of a later part is known in an
    earlier one. Without a time rows are drawn by the seed.
    """
    split = config.split
    if split.by == "random":
        drawn = np.random.default_rng(split.seed).permutation(count) / count
        validated = split.test_share + (1 - split.test_share) * split.validation_share
        return np.where(drawn < split.test_share, TEST, np.where(drawn < validated, VALIDATION, TRAIN))
    assert seconds is not None
    ahead = ((config.target.minutes_ahead or 0.0) + config.tolerance_minutes) * SECONDS_PER_MINUTE
    first, end = np.floor(seconds.min() / _DAY), np.floor(seconds.max() / _DAY) + 1
    test = end - _count_days(end - first, split.test_share)
    validation = test - _count_days(test - first, split.validation_share)
    parts = np.full(len(seconds), "", dtype=f"<U{len(VALIDATION)}")
    parts[seconds + ahead < validation * _DAY] = TRAIN
    parts[(seconds >= validation * _DAY) & (seconds + ahead < test * _DAY)] = VALIDATION
    parts[seconds >= test * _DAY] = TEST
    return parts


def is_trained_on(parts: npt.NDArray[np.str_]) -> Flags:
    """Return which rows the final model is trained on: all but the held-out ones."""
    return np.isin(parts, (TRAIN, VALIDATION))


def find_blocks(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the day in UTC of each row, whose rows are related; without a time each row is one block."""
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if not times:
        return np.arange(table.num_rows, dtype=np.int64)
    return (to_seconds(table, times[0]) // _DAY).astype(np.int64)


def _count_days(days: float, share: float) -> float:
    return max(1.0, float(round(days * share)))
