"""Trains scikit-learn's models: the best candidate, with another seed if the first gives nonsense."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.columns import Flags, Floats
from forecast.errors import UNHARMED, DataRefused, TrainingUnstable
from forecast.spec import Candidate, Training


@dataclass(frozen=True)
class Trained:
    """A seed that gave a sane model, its errors on the validation rows, and why seeds before did not."""

    seed: int
    errors: Floats
    rejected: dict[int, str]

    @property
    def mae(self) -> float:
        """The mean absolute error on the validation rows."""
        return float(np.abs(self.errors).mean())


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
        errors, wrong = _try_seed(build(seed), x, y, validated, training.unstable_above)
        if not wrong:
            return Trained(seed, errors, rejected)
        rejected[seed] = wrong
    tried = "; ".join(f"seed {seed}: {wrong}" for seed, wrong in rejected.items())
    raise TrainingUnstable(
        f"training is unstable with every seed: {tried}",
        unharmed=UNHARMED,
        next_step="look at the features in validation_summary.md, or change `training` in the configuration",
    )


def train_event(seed: int, x: Floats, event: Flags) -> Any:
    """Return the trained classifier of the event.

    Raises DataRefused if it never or always happens, TrainingUnstable if training does not converge.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if event.all() or not event.any():
        raise DataRefused(
            f"the event of `risk` happens in {'all' if event.all() else 'none'} of the training rows",
            unharmed=UNHARMED,
            next_step="load more days, or change or leave out `risk`",
        )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    if wrong := _fit(model, x, event):
        raise TrainingUnstable(
            f"the model of the risk is unstable: {wrong}",
            unharmed=UNHARMED,
            next_step="look at the features in validation_summary.md, or leave out `risk`",
        )
    return model


def _try_seed(model: Any, x: Floats, y: Floats, validated: Flags, limit: float) -> tuple[Floats, str]:
    """Return the errors on the validation rows, and what was wrong, empty if nothing was."""
    if wrong := _fit(model, x[~validated], y[~validated]):
        return np.array([]), wrong
    errors = model.predict(x[validated]) - y[validated]
    if not np.isfinite(errors).all():
        return errors, "predictions are not finite"
    mae, of_mean = np.abs(errors).mean(), np.abs(y[~validated].mean() - y[validated]).mean()
    if mae > limit * of_mean:
        return errors, f"its error {mae:.4g} exceeds {limit:g} times that of the mean, {of_mean:.4g}"
    return errors, ""


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
