"""Error grid, intervals, drift and thresholds, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from forecast.clarke import find_zones, share_zones
from forecast.metrics import estimate_margin, find_missed, measure_errors, measure_risk
from forecast.profile import ColumnProfile, measure_ks, measure_psi, profile_rows
from forecast.spec import Threshold, read_config
from millpond.errors import ConfigError

CONFIG = read_config("glucose")


@pytest.mark.parametrize(
    ("actual", "predicted", "zone"),
    [
        *((100, 100, "A"), (100, 119, "A"), (60, 50, "A"), (60, 69, "A"), (300, 250, "A")),
        *((100, 130, "B"), (100, 70, "B"), (250, 190, "B"), (75, 60, "A"), (80, 60, "B")),
        *((100, 215, "C"), (175, 60, "C"), (150, 20, "C")),
        *((50, 100, "D"), (260, 100, "D"), (300, 180, "D")),
        *((50, 200, "E"), (200, 60, "E")),
    ],
)
def test_pairs_lie_in_the_zones_of_the_clarke_error_grid(actual: float, predicted: float, zone: str) -> None:
    assert find_zones(np.array([actual]), np.array([predicted])) == [zone]


def test_shares_of_the_zones_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    shares = share_zones(rng.uniform(40, 400, 5000), rng.uniform(40, 400, 5000))
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0


def test_errors_are_those_of_the_textbook() -> None:
    found = measure_errors(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    assert found == pytest.approx({"mae": 1, "rmse": np.sqrt(5 / 3), "r2": 1 - 5 / 2, "bias": 1})


def test_the_interval_of_a_margin_covers_it_and_is_wider_where_days_differ() -> None:
    rng = np.random.default_rng(1)
    days = np.repeat(np.arange(20), 50)
    alike = rng.normal(3, 1, 1000)
    apart = alike + np.repeat(rng.normal(0, 2, 20), 50)
    zero = np.zeros(1000)
    margin, low, high = estimate_margin(zero, alike, days)
    assert low < margin < high
    assert low > 2.8
    _, wide_low, wide_high = estimate_margin(zero, apart, days)
    assert wide_high - wide_low > 3 * (high - low)
    assert estimate_margin(zero, apart, days) == estimate_margin(zero, apart, days)


def test_an_equal_model_has_no_margin() -> None:
    error = np.random.default_rng(2).normal(size=500)
    assert estimate_margin(error, error, np.repeat(np.arange(10), 50)) == (0, 0, 0)


def test_risk_is_measured_beside_the_rate_of_the_event() -> None:
    happened = np.array([True, False, False, True])
    found = measure_risk(happened, np.array([0.9, 0.1, 0.2, 0.8]))
    assert found["risk.auc"] == 1
    assert found["risk.brier"] < found["risk.brier_of_rate"] == 0.25
    assert "risk.auc" not in measure_risk(np.zeros(4, dtype=bool), np.full(4, 0.1))


def profiled(values: list[float]) -> ColumnProfile:
    hours = np.arange(len(values)) % 24
    return profile_rows(pa.table({"glucose_mg_dl": values, "hour_of_day": hours}), CONFIG).columns[
        "glucose_mg_dl"
    ]


def test_drift_is_small_between_samples_of_one_distribution_and_large_after_a_shift() -> None:
    rng = np.random.default_rng(3)
    one, other = (profiled(rng.normal(120, 30, 4000).tolist()) for _ in range(2))
    shifted = profiled(rng.normal(160, 30, 4000).tolist())
    assert measure_psi(one, one) == pytest.approx(0, abs=1e-9)
    assert measure_ks(one, one) == 0
    assert measure_psi(one, other) < 0.02
    assert measure_ks(one, other) < 0.04
    assert measure_psi(one, shifted) > 0.5
    assert measure_ks(one, shifted) == pytest.approx(0.495, abs=0.04)  # of two normals 4/3 deviations apart


def test_a_profile_counts_what_is_no_number() -> None:
    found = profiled([1.0, 2.0, 3.0, float("nan"), float("inf")])
    assert (found.rows, found.not_numbers, found.infinite, found.distinct) == (5, 1, 1, 3)
    assert (found.quantiles[0], found.quantiles[50], found.quantiles[100]) == (1, 2, 3)


def test_thresholds_name_what_was_missed_and_drift_may_be_absent() -> None:
    metrics = {"mae": 21.0, "r2": 0.5}
    bounds = {"mae": Threshold(max=20), "r2": Threshold(min=0.4), "drift.psi": Threshold(max=0.2)}
    assert find_missed(metrics, bounds, "drift.") == ["mae is 21, above 20"]
    assert find_missed({**metrics, "drift.psi": 0.3}, bounds, "drift.")[1:] == ["drift.psi is 0.3, above 0.2"]
    assert find_missed({"mae": float("nan")}, {"mae": Threshold(max=20)}, "drift.") == [
        "mae is nan, above 20"
    ]
    with pytest.raises(ConfigError, match="the threshold mea is of no metric") as refused:
        find_missed(metrics, {"mea": Threshold(max=1)}, "drift.")
    assert "mae, r2" in refused.value.next_step
