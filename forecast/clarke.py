"""The zones of the Clarke error grid, A to E, of predictions of glucose in mg/dL.

Clarke et al., "Evaluating clinical accuracy of systems for self-monitoring of blood glucose", Diabetes Care
10 (1987). A: clinically accurate; B: benign; C to E: would lead to needless, missed or opposite treatment.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecast.columns import Floats

ZONES = "ABCDE"


def find_zones(actual: Floats, predicted: Floats) -> npt.NDArray[np.str_]:
    """Return the zone of each pair of actual and predicted glucose, both in mg/dL."""
    a, p = actual, predicted
    conditions = [
        ((a <= 70) & (p <= 70)) | (np.abs(p - a) <= 0.2 * a),
        ((a >= 180) & (p <= 70)) | ((a <= 70) & (p >= 180)),
        ((a >= 70) & (a <= 290) & (p >= a + 110)) | ((a >= 130) & (a <= 180) & (p <= 7 / 5 * a - 182)),
        ((a >= 240) & (p >= 70) & (p <= 180)) | ((a <= 70) & (p >= 70) & (p <= 180)),
    ]
    return np.select(conditions, ["A", "E", "C", "D"], default="B")


def share_zones(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return the share of the pairs in each zone."""
    zones = find_zones(actual, predicted)
    return {zone: float((zones == zone).mean()) for zone in ZONES}
