"""What Dagster knows of the forecast, beside the platform's assets."""

import dagster as dg

from forecast.assets import build_stage_assets, training

defs = dg.Definitions(assets=build_stage_assets(), jobs=[training])
