"""What Dagster knows of the forecast, beside the platform's assets."""

import dagster as dg

from forecast.approved import build_approved_specs
from forecast.assets import build_stage_assets, training
from forecast.serving_assets import build_forecast_asset, build_training_schedule, check_drift, check_error

defs = dg.Definitions(
    assets=[*build_stage_assets(), *build_approved_specs(), build_forecast_asset()],
    asset_checks=[check_error, check_drift],
    jobs=[training],
    schedules=[build_training_schedule()],
)
