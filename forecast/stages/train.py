"""Chooses the candidate that is best on the validation rows, and trains it on all but the held-out ones."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.parquet as pq

from forecast.columns import to_floats
from forecast.extra import one_thread
from forecast.features import feature_names
from forecast.model_files import Model, save_model, stack_features
from forecast.spec import Candidate
from forecast.splits import VALIDATION, is_trained_on
from forecast.stages.features import FEATURES, PART, TARGET
from forecast.stages.stage import Metadata, Work, write_json
from forecast.training import Trained, build_estimator, train_event, train_stable

CHOICE = "choice.json"


def run(work: Work) -> Metadata:
    """Write the model's files and `choice.json`; raises TrainingUnstable."""
    config, names = work.config, feature_names(work.config)
    table = pq.read_table(work.inputs["features"] / FEATURES)
    parts = np.asarray(table[PART].to_pylist())
    kept = is_trained_on(parts)
    x, y = stack_features(table, names)[kept], to_floats(table, TARGET)[kept]
    validated = parts[kept] == VALIDATION
    with one_thread():
        tried: list[tuple[Candidate, Trained]] = []
        for candidate in config.training.candidates:
            build = partial(build_estimator, candidate)
            found = train_stable(build, config.training, x, y, validated)
            work.log(f"{candidate.kind}, seed {found.seed}: MAE {found.error:.4g} on the validation rows")
            tried.append((candidate, found))
        best, chosen = min(tried, key=lambda each: each[1].error)
        model = build_estimator(best, chosen.seed).fit(x, y)
        risk = train_event(chosen.seed, x, y < config.risk.below) if config.risk else None
    save_model(Model(names, model, risk), work.output)
    errors = [{"kind": each.kind, "mae": round(found.error, 6)} for each, found in tried]
    choice = {
        **best.model_dump(),
        "seed": chosen.seed,
        "validation": errors,
        "rejected_seeds": chosen.rejected,
    }
    write_json(work.output / CHOICE, choice)
    work.log(f"chosen: {best.kind}, trained on {len(x):,} rows")
    return {"rows": len(x), "features": len(names), **choice}
