"""What a model is given for a row: values of that row and of rows before it, never of later ones.

Training and serving build features with the same function; the target has one of its own.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from forecast.columns import SECONDS_PER_MINUTE, Floats, sort_rows, to_array, to_floats, to_seconds
from forecast.spec import Config, Cycle, Feature, Lag


def feature_names(config: Config) -> list[str]:
    """Return the names of the features, in the order in which a model takes them."""
    return [name for feature in config.features for name in _names(feature)]


def build_features(rows: pa.Table, config: Config) -> pa.Table:
    """Return the features of each of the `rows`, sorted by time, with the column of the time first.

    `rows` are good ones (`cleaning.split_bad_rows`), in any order. A feature is null where the row that it
    needs is missing. Features are floats, one column for each of `feature_names`.
    """
    rows = sort_rows(rows.select(list(config.columns)), config)
    columns: dict[str, pa.Array] = {}
    if config.source.time:
        columns[config.source.time] = rows[config.source.time]
    for feature in config.features:
        columns |= zip(_names(feature), map(to_array, _values(feature, rows, config)), strict=True)
    return pa.table(columns)


def build_target(rows: pa.Table, config: Config) -> pa.Array:
    """Return the target of each of the `rows`, sorted by time; null where the later row is missing."""
    rows = sort_rows(rows.select(list(config.columns)), config)
    column, ahead = config.target.column, config.target.minutes_ahead
    if ahead is None:
        return to_array(to_floats(rows, column))
    return to_array(find_values(rows, config, column, ahead))


def find_values(rows: pa.Table, config: Config, column: str, minutes: float) -> Floats:
    """Return the value of `column` so many minutes after each row, or before it; NaN where there is none.

    It is that of the latest row within `tolerance_minutes` of that moment. `rows` are sorted by time.
    """
    assert config.source.time is not None
    seconds = to_seconds(rows, config.source.time)
    values = to_floats(rows, column)
    moments = seconds + minutes * SECONDS_PER_MINUTE
    tolerance = config.tolerance_minutes * SECONDS_PER_MINUTE
    latest = np.searchsorted(seconds, moments + tolerance, side="right") - 1
    found = (latest >= 0) & (np.abs(seconds[np.maximum(latest, 0)] - moments) <= tolerance)
    return np.where(found, values[np.maximum(latest, 0)], np.nan)


def _names(feature: Feature) -> list[str]:
    if isinstance(feature, Lag):
        return [f"{feature.lag}_{minutes:g}_min_ago" for minutes in feature.minutes]
    if isinstance(feature, Cycle):
        return [f"{feature.cycle}_sin", f"{feature.cycle}_cos"]
    return [feature.column]


def _values(feature: Feature, rows: pa.Table, config: Config) -> list[Floats]:
    if isinstance(feature, Lag):
        return [find_values(rows, config, feature.lag, -minutes) for minutes in feature.minutes]
    if isinstance(feature, Cycle):
        angle = to_floats(rows, feature.cycle) * (2 * np.pi / feature.period)
        return [np.sin(angle), np.cos(angle)]
    return [to_floats(rows, feature.column)]
