"""The plots of a report, from the files of the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forecast.columns import to_floats, to_seconds
from forecast.manifest import Manifest
from forecast.plots import plot_margins, plot_pairs, plot_series
from forecast.spec import Config
from forecast.splits import find_blocks
from forecast.stages.evaluate import PREDICTIONS

_POINTS = 1500
_HOUR = 3600.0
_CLARKE: Sequence[Sequence[tuple[float, float]]] = (
    ((0, 70), (58.3, 70), (333.3, 400)),
    ((70, 0), (70, 56), (400, 320)),
    ((70, 84), (70, 400)),
    ((0, 180), (70, 180)),
    ((70, 180), (290, 400)),
    ((180, 0), (180, 70), (400, 70)),
    ((240, 70), (240, 180), (400, 180)),
    ((130, 0), (180, 70)),
)
"""Borders of the zones of the Clarke error grid, in mg/dL."""


def draw_figures(inputs: Mapping[str, Path], config: Config, manifest: Manifest) -> dict[str, str]:
    """Return the plots of a model as SVG, by the name of their file."""
    table = pq.read_table(inputs["evaluate"] / PREDICTIONS)
    actual, predicted = to_floats(table, "actual"), to_floats(table, "predicted")
    shown = np.linspace(0, len(actual) - 1, min(len(actual), _POINTS)).astype(int)
    lines = _CLARKE if config.clarke_zones else ()
    margins = {
        name.removeprefix("margin."): (manifest.metrics[name], low, high)
        for name, (low, high) in sorted(manifest.intervals.items())
    }
    figures = {
        "margins.svg": plot_margins(margins, config.target.column),
        "pairs.svg": plot_pairs(actual[shown], predicted[shown], config.target.column, lines),
    }
    if config.source.time:
        figures["day.svg"] = _draw_day(table, config)
    return figures


def _draw_day(table: pa.Table, config: Config) -> str:
    """Return the held-out day whose error is the median of all days."""
    error = np.abs(to_floats(table, "predicted") - to_floats(table, "actual"))
    days, number = np.unique(find_blocks(table), return_inverse=True)
    means = np.bincount(number, error) / np.bincount(number)
    chosen = int(np.argsort(means, kind="stable")[len(days) // 2])
    rows = table.filter(pa.array(number == chosen))
    ahead = (config.target.minutes_ahead or 0.0) / 60
    hours = to_seconds(rows, str(config.source.time)) % (24 * _HOUR) / _HOUR + ahead
    series = {name: to_floats(rows, name) for name in ("actual", "predicted")}
    return plot_series(hours, series, config.target.column)
