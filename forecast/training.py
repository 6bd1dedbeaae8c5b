"""Trains scikit-learn's models: the best candidate, with another seed if the first gives nonsense."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.columns import Flags, Floats
from forecast.errors import UNHARMED, TrainingUnstable
from forecast.spec import Candidate, Training


@dataclass(frozen=True)
class Trained:
    """A model, its seed, its error on the validation rows, and what was wrong with the seeds before."""

    model: Any
    seed: int
    error: float
    rejected: dict[int, str]


def build_estimator(candidate: Candidate, seed: int) -> Any:
    """Return the untrained estimator of a candidate."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if candidate.kind == "ridge":
        return make_pipeline(StandardScaler(), Ridge(random_state=seed, **candidate.parameters))
    return HistGradientBoostingRegressor(random_state=seed, **candidate.parameters)


def train_stable(
    build: Callable[[int], Any], training: Training, x: Floats, y: Floats, validated: Flags
) -> Trained:
    """Train what `build(seed)` returns and measure it on the validation rows; at need with the fallback seed.

    Raises TrainingUnstable with what was wrong with each seed.
    """
    rejected: dict[int, str] = {}
    for seed in dict.fromkeys((training.seed, training.fallback_seed)):
        model, error, wrong = _try_seed(build(seed), x, y, validated, training.unstable_above)
        if not wrong:
            return Trained(model, seed, error, rejected)
        rejected[seed] = wrong
    tried = "; ".join(f"seed {seed}: {wrong}" for seed, wrong in rejected.items())
    raise TrainingUnstable(
        f"training is unstable with every seed: {tried}",
        unharmed=UNHARMED,
        next_step="look at the features in validation_summary.md, or change `training` in the configuration",
    )


def train_event(seed: int, x: Floats, event: Flags) -> Any:
    """Return the trained classifier of the event; raises TrainingUnstable if it does not converge."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    if wrong := _fit(model, x, event):
        raise TrainingUnstable(
            f"the model of the risk is unstable: {wrong}",
            unharmed=UNHARMED,
            next_step="look at the features in validation_summary.md, or leave out `risk`",
        )
    return model


def _try_seed(model: Any, x: Floats, y: Floats, validated: Flags, limit: float) -> tuple[Any, float, str]:
    wrong = _fit(model, x[~validated], y[~validated])
    if wrong:
        return model, np.inf, wrong
    predicted = model.predict(x[validated])
    if not np.isfinite(predicted).all():
        return model, np.inf, "predictions are not finite"
    error = float(np.abs(predicted - y[validated]).mean())
    mean_error = float(np.abs(y[~validated].mean() - y[validated]).mean())
    if error > limit * mean_error:
        return (
            model,
            error,
            f"its error {error:.4g} exceeds {limit:g} times that of the mean, {mean_error:.4g}",
        )
    return model, error, ""


def _fit(model: Any, x: Floats, y: Any) -> str:
    """Fit the model; returns what was wrong, empty if nothing was."""
    from sklearn.exceptions import ConvergenceWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("error", RuntimeWarning)
            model.fit(x, y)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError, ConvergenceWarning, RuntimeWarning) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""
