"""Chooses a candidate by the validation rows, and trains it on all but the held-out ones."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from forecast.columns import to_floats
from forecast.extra import one_thread
from forecast.features import feature_names
from forecast.metrics import estimate_margin
from forecast.model_files import Model, save_model, stack_features
from forecast.spec import Candidate
from forecast.splits import VALIDATION, find_blocks, is_trained_on
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
            work.log(f"{candidate.kind}, seed {found.seed}: MAE {found.mae:.4g} on the validation rows")
            tried.append((candidate, found))
        best, chosen = choose_best(tried, find_blocks(table)[kept][validated])
        model = build_estimator(best, chosen.seed).fit(x, y)
        risk = train_event(chosen.seed, x, y < config.risk.below) if config.risk else None
    save_model(Model(names, model, risk), work.output)
    errors = [{"kind": each.kind, "mae": round(found.mae, 6)} for each, found in tried]
    choice = {
        **best.model_dump(),
        "seed": chosen.seed,
        "validation": errors,
        "rejected_seeds": chosen.rejected,
    }
    write_json(work.output / CHOICE, choice)
    work.log(f"chosen: {best.kind}, trained on {len(x):,} rows")
    return {"rows": len(x), "features": len(names), **choice}


def choose_best(
    tried: list[tuple[Candidate, Trained]], blocks: npt.NDArray[np.int64]
) -> tuple[Candidate, Trained]:
    """Return the first candidate, or a later one that is surely better on the validation rows.

    The 95 % interval of the difference must lie above zero. So a simple model is kept where the data do not
    tell it from a complex one.
    """
    best = tried[0]
    for each in tried[1:]:
        _, low, _ = estimate_margin(each[1].errors, best[1].errors, blocks)
        if low > 0:
            best = each
    return best
