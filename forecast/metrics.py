"""How good a model is on the held-out rows, how sure that is, and which thresholds it misses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast.clarke import share_zones
from forecast.columns import Flags, Floats
from forecast.errors import UNHARMED
from forecast.spec import Threshold
from millpond.errors import ConfigError

_DRAWS: Final = 2000
_DIGITS: Final = 8


def measure_errors(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return mean absolute error, root of the mean squared error, R² and bias (predicted less actual)."""
    error = predicted - actual
    spread = float(((actual - actual.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": 1 - float((error**2).sum()) / spread if spread else 0.0,
        "bias": float(error.mean()),
    }


def measure_zones(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return the share of each zone of the Clarke error grid, and of A and B together."""
    shares = share_zones(actual, predicted)
    found = {f"clarke_{zone.lower()}": share for zone, share in shares.items()}
    return {**found, "clarke_ab": shares["A"] + shares["B"]}


def measure_risk(happened: Flags, probability: Floats) -> dict[str, float]:
    """Return the area under the ROC curve and the Brier score, and that of the event's rate."""
    from sklearn.metrics import roc_auc_score

    found = {
        "risk.rate": float(happened.mean()),
        "risk.brier": float(((probability - happened) ** 2).mean()),
        "risk.brier_of_rate": float(happened.var()),
    }
    if happened.any() and not happened.all():
        found["risk.auc"] = float(roc_auc_score(happened, probability))
    return found


def estimate_margin(
    model_error: Floats, baseline_error: Floats, blocks: npt.NDArray[Any], seed: int = 0
) -> tuple[float, float, float]:
    """Return by how much the mean absolute error is smaller than the baseline's, and its 95 % interval.

    Bootstrap over `blocks`, the day of each row: errors of one day are related, so days are drawn, not rows.
    """
    _, number = np.unique(blocks, return_inverse=True)
    gained = np.bincount(number, np.abs(baseline_error) - np.abs(model_error))
    rows = np.bincount(number).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(rows), (_DRAWS, len(rows)))
    margins = gained[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    low, high = np.quantile(margins, (0.025, 0.975))
    return float(gained.sum() / rows.sum()), float(low), float(high)


def find_missed(
    metrics: Mapping[str, float], thresholds: Mapping[str, Threshold], optional: str
) -> list[str]:
    """Return a sentence for each threshold that the metrics miss.

    Metrics that begin with `optional` may be absent. Raises ConfigError for another one that does not exist.
    """
    missed = []
    for name, bounds in thresholds.items():
        value = metrics.get(name)
        if value is None:
            if name.startswith(optional):
                continue
            raise ConfigError(
                f"the threshold {name} is of no metric",
                unharmed=UNHARMED,
                next_step=f"name one of {', '.join(sorted(metrics))}",
            )
        if bounds.max is not None and not value <= bounds.max:
            missed.append(f"{name} is {value:.4g}, above {bounds.max:g}")
        if bounds.min is not None and not value >= bounds.min:
            missed.append(f"{name} is {value:.4g}, below {bounds.min:g}")
    return missed


def round_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics without the last digits, in which machines may differ."""
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in metrics.items()}
