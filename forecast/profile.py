"""What the values of each column look like, and how far two such profiles are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from forecast.columns import Floats, to_floats
from forecast.spec import Config

_QUANTILES: Final = np.linspace(0, 1, 101)
_BINS: Final = 10
_LEAST_SHARE: Final = 1e-3
"""Share of an empty bin, so that the logarithm of the index is finite."""
_DIGITS: Final = 10


class ColumnProfile(BaseModel):
    """Counts and moments of a column; `quantiles` are those of 0, 1, … 100 %, of its finite values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    nulls: int
    not_numbers: int
    infinite: int
    distinct: int
    mean: float
    deviation: float
    quantiles: list[float]


class Profile(BaseModel):
    """The profile of each numeric column of the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, ColumnProfile]


def profile_rows(rows: pa.Table, config: Config) -> Profile:
    """Return the profile of the numeric columns of the configuration."""
    names = [name for name, column in config.columns.items() if column.type == "number"]
    return Profile(columns={name: _profile_column(rows, name) for name in names})


def measure_psi(before: ColumnProfile, now: ColumnProfile) -> float:
    """Return the population stability index over the deciles of `before`: 0 for the same distribution.

    Below 0.1 is usually read as stable, above 0.25 as shifted. Profiles resolve shares to 1 %.
    """
    edges = np.unique(np.quantile(before.quantiles, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = [np.diff(_cumulate(each.quantiles, edges), prepend=0.0, append=1.0) for each in (before, now)]
    expected, actual = (np.maximum(each, _LEAST_SHARE) for each in shares)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def measure_ks(before: ColumnProfile, now: ColumnProfile) -> float:
    """Return the Kolmogorov-Smirnov statistic, 0 to 1, to within the 1 % that profiles resolve."""
    places = np.union1d(before.quantiles, now.quantiles)
    return float(np.max(np.abs(_cumulate(before.quantiles, places) - _cumulate(now.quantiles, places))))


def _cumulate(quantiles: Sequence[float], places: Floats) -> Floats:
    return np.searchsorted(quantiles, places, side="right") / len(quantiles)


def _profile_column(rows: pa.Table, name: str) -> ColumnProfile:
    values = to_floats(rows, name)
    finite = np.sort(values[np.isfinite(values)])
    nulls = rows[name].null_count
    return ColumnProfile(
        rows=len(values),
        nulls=nulls,
        not_numbers=int(np.isnan(values).sum()) - nulls,
        infinite=int(np.isinf(values).sum()),
        distinct=len(np.unique(finite)),
        mean=_round(finite.mean()) if len(finite) else 0.0,
        deviation=_round(finite.std()) if len(finite) else 0.0,
        quantiles=[_round(each) for each in np.quantile(finite, _QUANTILES)] if len(finite) else [],
    )


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
