"""Measures the model on the held-out rows, beside the baselines, and the drift since the last model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forecast.baselines import COLUMN, baseline_names, predict_mean
from forecast.columns import Floats, to_array, to_floats
from forecast.features import feature_names
from forecast.metrics import (
    estimate_margin,
    find_missed,
    measure_errors,
    measure_risk,
    measure_zones,
    round_metrics,
)
from forecast.model_files import MODEL_FILE, RISK_FILE, hash_file, load_model
from forecast.profile import measure_ks, measure_psi
from forecast.spec import Config
from forecast.splits import TEST, find_blocks, is_trained_on
from forecast.stages.features import FEATURES, PART, TARGET
from forecast.stages.stage import Metadata, Work, write_json
from forecast.stages.validate import read_profile

METRICS = "metrics.json"
PREDICTIONS = "predictions.parquet"
_DRIFT = "drift."
_SHOWN = ("mae", "rmse", "clarke_ab")
"""Metrics of a baseline that are kept."""


def run(work: Work) -> Metadata:
    """Write `metrics.json` with the thresholds that were missed, and `predictions.parquet`."""
    config = work.config
    table = pq.read_table(work.inputs["features"] / FEATURES)
    parts = np.asarray(table[PART].to_pylist())
    train = to_floats(table, TARGET)[is_trained_on(parts)]
    held_out = table.filter(pa.array(parts == TEST))
    folder = work.inputs["train"]
    hashes = {name: hash_file(folder / name) for name in (MODEL_FILE, RISK_FILE) if (folder / name).is_file()}
    model = load_model(folder, feature_names(config), hashes)
    actual, predicted = to_floats(held_out, TARGET), model.predict(held_out)
    risk = model.predict_risk(held_out)

    metrics = measure_errors(actual, predicted)
    if config.clarke_zones:
        metrics |= measure_zones(actual, predicted)
    if config.risk:
        metrics |= measure_risk(actual < config.risk.below, risk)
    margins, intervals = _compare(held_out, actual, predicted, train, config)
    metrics |= margins
    metrics |= _measure_drift(work.inputs["validate"], work.last_good, config)
    metrics = round_metrics(metrics)
    blocked = find_missed(metrics, config.thresholds, _DRIFT)
    write_json(work.output / METRICS, {"metrics": metrics, "intervals": intervals, "blocked": blocked})
    _write_predictions(work, held_out, actual, predicted, risk)
    for name in baseline_names(config):
        low, high = intervals[f"margin.{name}"]
        margin = metrics[f"margin.{name}"]
        work.log(f"MAE {metrics['mae']:.4g}: {margin:.4g} [{low:.4g}, {high:.4g}] better than {name}")
    for each in blocked:
        work.log(f"blocked: {each}")
    return {"rows": held_out.num_rows, **metrics, "blocked": blocked}


def _compare(
    held_out: pa.Table, actual: Floats, predicted: Floats, train: Floats, config: Config
) -> tuple[dict[str, float], dict[str, list[float]]]:
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    blocks = find_blocks(held_out)
    for name in baseline_names(config):
        guessed = (
            predict_mean(train, len(actual)) if name == "mean" else to_floats(held_out, f"{COLUMN}{name}")
        )
        there = ~np.isnan(guessed)
        errors = measure_errors(actual[there], guessed[there])
        own, other = predicted[there] - actual[there], guessed[there] - actual[there]
        margin, low, high = estimate_margin(own, other, blocks[there], config.split.seed)
        if config.clarke_zones:
            errors |= measure_zones(actual[there], guessed[there])
        metrics |= {f"baseline.{name}.{each}": errors[each] for each in _SHOWN if each in errors}
        metrics |= {f"margin.{name}": margin, f"margin_low.{name}": low}
        intervals[f"margin.{name}"] = [round(low, 6), round(high, 6)]
    return metrics, intervals


def _measure_drift(profiled: Path, last_good: Path | None, config: Config) -> dict[str, float]:
    """Return the largest index and statistic over the columns; nothing without an earlier model."""
    if last_good is None:
        return {}
    before, now = read_profile(last_good).columns, read_profile(profiled).columns
    shared = [name for name in config.columns if name in before and name in now]
    found = {f"drift.psi.{name}": measure_psi(before[name], now[name]) for name in shared}
    found |= {f"drift.ks.{name}": measure_ks(before[name], now[name]) for name in shared}
    for kind in ("psi", "ks"):
        found[f"drift.{kind}"] = max((found[f"drift.{kind}.{name}"] for name in shared), default=0.0)
    return found


def _write_predictions(
    work: Work, held_out: pa.Table, actual: Floats, predicted: Floats, risk: Floats
) -> None:
    time = work.config.source.time
    columns = {time: held_out[time]} if time else {}
    columns |= {"actual": to_array(actual), "predicted": to_array(predicted), "risk": to_array(risk)}
    pq.write_table(pa.table(columns), work.output / PREDICTIONS, compression="zstd")
