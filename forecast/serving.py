"""The forecasts of the approved model, a daily table of the lake."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from millpond.partitions import Window
from millpond.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.registry import Decision
    from forecast.spec import Config
    from millpond.lake.spec import TableSpec

NAME: Final = "glucose"
"""The configuration whose approved model serves."""
TABLE: Final = "silver.fct_glucose_forecast"
COLUMNS: Final = {
    "forecast_date": ("date", "Day of the reading in the configured time zone."),
    "reading_at": ("timestamp", "Instant of the reading from which the forecast is made, UTC."),
    "target_at": ("timestamp", "Instant that the forecast is for, UTC: 30 minutes later."),
    "glucose_mg_dl": ("double", "Sensor glucose of the reading in mg/dL: the forecast `same as now`."),
    "forecast_mg_dl": ("double", "Glucose in mg/dL that the model expects, 2 decimals."),
    "linear_mg_dl": ("double", "Glucose in mg/dL on the line through now and 15 minutes ago, 2 decimals."),
    "low_risk": ("double", "Probability that glucose is below 70 mg/dL by then, 0 to 1, 4 decimals."),
    "model_hash": ("string", "The model, as `millpond forecast list` names it."),
}
_DECIMALS: Final = {"forecast_mg_dl": 2, "linear_mg_dl": 2, "low_risk": 4}


def describe_table() -> TableSpec:
    """Return the spec of the table."""
    from millpond.lake.spec import TableSpec

    return TableSpec(
        TABLE,
        _schema(),
        window_column="forecast_date",
        key=("reading_at",),
        grain="month",
        sort_by=("reading_at",),
        comments={name: text for name, (_, text) in COLUMNS.items()},
        description="What the approved model expects of glucose 30 minutes after each reading.",
    )


def score_days(serving: Decision | None, window: Window, ref: str) -> pa.Table:
    """Return the forecasts for the readings of the days in `window` on `ref`, by the model that is approved.

    A reading whose features reach back to a gap has no forecast. Without an approved model there are no rows.
    Raises ModelAltered if a file of the model is not the one that was approved, and DataRefused if the
    readings have other columns or types than those it was trained on.
    """
    from forecast.registry import open_approved
    from millpond.lake import read

    if serving is None:
        return _schema().empty_table()
    manifest, model = open_approved(serving)
    config = read_config_of(manifest)
    before = Window(window.start - dt.timedelta(days=1), window.end)
    rows = read.scan(ref, config.source.table or "", window=before)
    return forecast_rows(rows, model, config, manifest.short, window)


def forecast_rows(rows: pa.Table, model: Any, config: Config, short: str, window: Window) -> pa.Table:
    """Return the forecasts for those of the readings `rows` that are of days in `window`.

    `rows` reach a day further back, for the features. Raises DataRefused for columns or types that drifted.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from forecast.baselines import predict_baselines
    from forecast.cleaning import split_bad_rows
    from forecast.columns import sort_rows, to_floats
    from forecast.features import build_features
    from forecast.stages.validate import check_schema

    check_schema(rows.schema, config)
    rows = sort_rows(split_bad_rows(rows.select(list(config.columns)), config)[0], config)
    features = build_features(rows, config)
    time = pc.cast(features[str(config.source.time)], pa.timestamp("us", "UTC"))
    ahead = pa.scalar(dt.timedelta(minutes=config.target.minutes_ahead or 0.0), pa.duration("us"))
    zone = pa.timestamp("us", settings().timezone)
    columns = {
        "forecast_date": pc.cast(pc.local_timestamp(pc.cast(time, zone)), pa.date32()),
        "reading_at": time,
        "target_at": pc.add(time, ahead),
        "glucose_mg_dl": to_floats(rows, config.target.column),
        "forecast_mg_dl": model.predict(features),
        "linear_mg_dl": predict_baselines(rows, config)["linear"],
        "low_risk": model.predict_risk(features),
        "model_hash": pa.array([short] * rows.num_rows, pa.string()),
    }
    for name, decimals in _DECIMALS.items():
        columns[name] = pa.array(np.round(columns[name], decimals), from_pandas=True)
    found = pa.table(columns).cast(_schema())
    days = found["forecast_date"]
    within = pc.and_(pc.greater_equal(days, window.start), pc.less(days, window.end))
    return found.filter(pc.and_(within, pc.is_valid(found["forecast_mg_dl"])))


def read_config_of(manifest: Any) -> Config:
    """Return the configuration that a model was trained with, whatever its file says now."""
    from forecast.spec import Config

    return Config.model_validate({"name": manifest.name, **manifest.identity.parameters})


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = {
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
        "double": pa.float64(),
        "string": pa.string(),
    }
    return pa.schema([(name, types[kind]) for name, (kind, _) in COLUMNS.items()])
