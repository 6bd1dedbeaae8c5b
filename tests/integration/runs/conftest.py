"""The definitions that the tests of runs materialize."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from daily_assets import broken, daily, equals_lake, mart, seen

from millpond.runs.run import JOB
from millpond.runtime.home import Home


@pytest.fixture
def definitions(home: Home) -> Iterator[dg.Definitions]:
    """Yield two raw assets, a silver one and a mart, with the job that materializes them."""
    seen.clear()
    yield dg.Definitions(
        assets=[
            daily("dlt_days", [], "raw"),
            daily("dlt_other", [], "raw", retry_policy=dg.RetryPolicy(max_retries=1)),
            daily("silver", ["dlt_days"], "silver"),
            mart,
        ],
        asset_checks=[equals_lake],
        jobs=[dg.define_asset_job(JOB, selection="*")],
    )
    broken.clear()
