"""The shop's pipeline after runs of five days, less one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest
from shop_pipeline import FIRST, MISSING_DAY, build_pipeline

from millpond.instance.home import open_instance
from millpond.observability.assets import Asset, list_assets
from millpond.runtime.home import Home

Worked = tuple[dg.DagsterInstance, list[Asset]]


@pytest.fixture(scope="module")
def worked(home_of_module: Home) -> Iterator[Worked]:
    """Yield the instance and the assets, for tests that only read."""
    assert home_of_module.root.exists()
    with open_instance() as instance:
        yield instance, _run_pipeline(instance)


@pytest.fixture
def changed(recorded: dg.DagsterInstance) -> Worked:
    """The same, for a test that changes it."""
    return recorded, _run_pipeline(recorded)


def _run_pipeline(instance: dg.DagsterInstance) -> list[Asset]:
    definitions = build_pipeline()
    orders, mart = (each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition))
    for number in range(5):
        day = FIRST + dt.timedelta(days=number)
        if number != MISSING_DAY:
            dg.materialize([orders], partition_key=str(day), instance=instance, raise_on_error=False)
    checks = [each for each in definitions.asset_checks or () if isinstance(each, dg.AssetChecksDefinition)]
    dg.materialize([orders, mart, *checks], selection="mrt_orders", instance=instance)
    return list_assets(definitions)
