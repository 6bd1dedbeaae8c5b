"""Quarantines bad rows and builds features, target and baselines of the good ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forecast.baselines import COLUMN, predict_baselines
from forecast.cleaning import split_bad_rows
from forecast.columns import Flags, sort_rows, to_array, to_floats, to_seconds
from forecast.errors import UNHARMED, DataRefused
from forecast.features import build_features, build_target, feature_names
from forecast.model_files import has_all, stack_features
from forecast.spec import Config
from forecast.splits import TEST, TRAIN, VALIDATION, is_trained_on, split_rows
from forecast.stages.ingest import ROWS
from forecast.stages.stage import Metadata, Work

FEATURES = "features.parquet"
QUARANTINE = "quarantine.parquet"
TARGET, PART = "target", "part"
_SUSPICIOUS = 0.999
"""Correlation with the target from which on a feature is taken for the target itself."""


def run(work: Work) -> Metadata:
    """Write `features.parquet` and `quarantine.parquet`; raises DataRefused for a target that leaks.

    A row whose history or target is incomplete is left out. Columns: the time if there is one, the features,
    `baseline_…`, `target` and `part`.
    """
    config = work.config
    rows, bad = split_bad_rows(pq.read_table(work.inputs["ingest"] / ROWS), config)
    rows = sort_rows(rows, config)
    features = build_features(rows, config)
    target = build_target(rows, config)
    time = config.source.time
    seconds = to_seconds(rows, time) if time else None
    parts = split_rows(config, seconds, rows.num_rows)
    no_history = ~has_all(stack_features(features, feature_names(config)))
    no_target = np.isnan(to_floats(pa.table({TARGET: target}), TARGET))
    complete = ~no_history & ~no_target & (parts != "")
    for name, values in predict_baselines(rows, config).items():
        features = features.append_column(f"{COLUMN}{name}", to_array(values))
    features = features.append_column(TARGET, target).append_column(PART, pa.array(parts.tolist()))
    features = features.filter(pa.array(complete))
    _check_parts(features, config)
    _check_leaks(features, config)
    pq.write_table(features, work.output / FEATURES, compression="zstd")
    pq.write_table(bad, work.output / QUARANTINE, compression="zstd")
    counts = Counter(features[PART].to_pylist())
    names = feature_names(config)
    work.log(f"{features.num_rows:,} rows with {len(names)} features: {dict(sorted(counts.items()))}")
    return {
        "rows": features.num_rows,
        "features": names,
        "quarantined": bad.num_rows,
        "left_out": _count_left_out(no_history, no_target, complete),
        **{f"{part}_rows": counts[part] for part in (TRAIN, VALIDATION, TEST)},
    }


def _count_left_out(no_history: Flags, no_target: Flags, complete: Flags) -> dict[str, int]:
    return {
        "incomplete history": int(no_history.sum()),
        "no target": int((no_target & ~no_history).sum()),
        "target in a later part": int((~complete & ~no_history & ~no_target).sum()),
    }


def _check_parts(features: pa.Table, config: Config) -> None:
    there = set(features[PART].to_pylist())
    if missing := [part for part in (TRAIN, VALIDATION, TEST) if part not in there]:
        raise DataRefused(
            f"the data of {config.name} is refused: no complete row is left for {', '.join(missing)}",
            unharmed=UNHARMED,
            next_step="load more days (`millpond backfill --help`), or change `split`",
        )


def _check_leaks(features: pa.Table, config: Config) -> None:
    """Raise DataRefused if a feature is, but for a factor, the target itself."""
    trained = features.filter(pa.array(is_trained_on(np.asarray(features[PART].to_pylist()))))
    target = to_floats(trained, TARGET)
    for name in feature_names(config):
        values = to_floats(trained, name)
        if values.std() == 0 or target.std() == 0:
            continue
        correlation = abs(float(np.corrcoef(values, target)[0, 1]))
        if correlation > _SUSPICIOUS:
            raise DataRefused(
                f"the feature {name} of {config.name} leaks the target: they correlate by {correlation:.5f}",
                unharmed=UNHARMED,
                next_step=f"leave it out of `features` in forecast/config/{config.name}.yaml",
            )
