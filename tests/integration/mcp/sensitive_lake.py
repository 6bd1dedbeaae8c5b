"""Fixture: a lake with rows that are sensitive, rows in quarantine, and a mart."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

SECRET = "kitchen-sensor-of-ada"
_TABLES: dict[str, dict[str, Any]] = {
    "raw.climate_entries": {"_id": "a", "lux": 120, "device": SECRET},
    "gold.dim_date": {"date_day": dt.date(2026, 11, 1)},
    "quarantine.climate_entries": {
        "_partition_date": dt.date(2026, 11, 1),
        "reason": f"device is no integer: {SECRET}",
        "row_key": SECRET,
        "payload": SECRET,
        "_loaded_at": dt.datetime(2026, 11, 2, tzinfo=dt.UTC),
    },
}


@pytest.fixture(scope="module")
def lake(home_of_module: Home) -> Home:
    """Tables of which `raw.climate_entries.device` and `marts.mrt_climate_overview.avg_lux` are sensitive."""
    for name, row in _TABLES.items():
        rows = pa.Table.from_pylist([row])
        replace([Replacement(TableSpec(name, rows.schema), rows, None)], ref="main", run_id="test")
    with databases().marts.connect(autocommit=True) as connection:
        connection.execute(
            "create table if not exists mrt_climate_overview as select 7 as reading_count, 4242.5 as avg_lux"
        )
    return home_of_module
