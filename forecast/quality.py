"""What became of the forecasts, and whether the readings still look like those of the training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import millpond
from forecast.registry import Decision, find_serving, open_approved, read_decisions
from forecast.serving import NAME, read_config_of

_DRIFT_DAYS: Final = 28
_NO_MODEL: Final = "no model is approved"
_RECENT: Final = """
    select sum(answered_count) as answered, sum(mae_mg_dl * answered_count) as error,
        sum(same_as_now_mae_mg_dl * answered_count) as same_as_now
    from gold.mrt_forecast_quality
    where model_hash = $model and answered_count > 0 and target_date >= (
        select max(target_date) from gold.mrt_forecast_quality where model_hash = $model
    ) - $days + 1
"""
_READINGS: Final = """
    select * from silver.fct_glucose_readings
    where reading_date > (select max(reading_date) from silver.fct_glucose_readings) - $days
"""


@dataclass(frozen=True)
class Finding:
    """What a check found: `wrong` says what, empty if it passes."""

    summary: str
    wrong: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)


def measure_recent_error(ref: str, days: int, worse: float) -> Finding:
    """Return how the error of the last days compares with the held-out one, and with that of same as now.

    `worse` is by how much it may exceed the held-out one.
    """
    serving = find_serving(read_decisions(NAME))
    if serving is None:
        return Finding(_NO_MODEL)
    with millpond.connect(ref) as lake:
        row = lake.execute(_RECENT, {"model": serving.short, "days": days}).fetchone()
    answered, error, same_as_now = row or (None, None, None)
    if not answered:
        return Finding(f"model {serving.short} has no forecast yet of which the outcome is known")
    manifest, _ = open_approved(serving)
    mae, naive, measured = error / answered, same_as_now / answered, manifest.metrics["mae"]
    numbers = {"answered": int(answered), "mae": mae, "same_as_now_mae": naive, "held_out_mae": measured}
    summary = (
        f"mean absolute error {mae:.1f} mg/dL, {measured:.1f} on the held-out rows, same as now {naive:.1f}"
    )
    wrong = []
    if mae > worse * measured:
        wrong.append(f"it is more than {worse:g} times that on the held-out rows")
    if mae >= naive:
        wrong.append("it is not below that of same as now")
    return Finding(summary, f"{summary}: {' and '.join(wrong)}" if wrong else "", numbers)


def measure_reading_drift(ref: str) -> Finding:
    """Return how far the readings of the last four weeks are from the profile of the model that serves."""
    serving = find_serving(read_decisions(NAME))
    return Finding(_NO_MODEL) if serving is None else _measure_drift(ref, serving)


def _measure_drift(ref: str, serving: Decision) -> Finding:
    from forecast.cleaning import split_bad_rows
    from forecast.places import find_places
    from forecast.profile import measure_ks, measure_psi, profile_rows
    from forecast.stages.validate import check_schema, read_profile

    manifest, _ = open_approved(serving)
    config = read_config_of(manifest)
    with millpond.connect(ref) as lake:
        rows = lake.execute(_READINGS, {"days": _DRIFT_DAYS}).to_arrow_table()
    if not rows.num_rows:
        return Finding("there are no readings")
    check_schema(rows.schema, config)
    good, _ = split_bad_rows(rows.select(list(config.columns)), config)
    column = config.target.column
    before = read_profile(find_places(NAME).artifacts / manifest.folder).columns[column]
    now = profile_rows(good, config).columns[column]
    numbers = {"psi": measure_psi(before, now), "ks": measure_ks(before, now), "rows": good.num_rows}
    most = (manifest.thresholds.get("drift.psi") or {}).get("max")
    summary = f"population stability index of {column} {numbers['psi']:.2f}"
    if most is not None and numbers["psi"] > most:
        return Finding(
            summary, f"{summary}, more than {most:g}: train again, and compare the models", numbers
        )
    return Finding(summary, numbers=numbers)


def find_why_not_to_train(name: str) -> str:
    """Return why the weekly training cannot be done yet: a package or data is missing; empty otherwise."""
    from forecast.extra import require_extra
    from forecast.spec import read_config
    from millpond.errors import MillpondError
    from millpond.lake import read
    from millpond.settings import settings

    source = read_config(name).source
    table = source.table
    try:
        require_extra()
    except MillpondError as error:
        return f"{error.what}: {error.next_step}"
    if table is None:
        return ""
    if not read.exists(settings().ref, table):
        return f"there is no table {table} yet"
    rows = read.count(settings().ref, table)
    return (
        f"{table} has {rows:,} rows, a training needs {source.min_rows:,}" if rows < source.min_rows else ""
    )
