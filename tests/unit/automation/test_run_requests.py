"""What a sensor requests is what a run over days can make."""

from __future__ import annotations

import dagster as dg
from small_chain import ASSETS, keys, made

from millpond.automation.requests import find_downstream
from millpond.resources.run import OWN_PARTITIONS


def test_dashboards_external_assets_and_those_with_other_partitions_are_not_requested() -> None:
    beside = [
        dg.AssetSpec("dashboard", deps=["mart"]),
        made("trained", ["facts"]).map_asset_specs(
            lambda spec: spec.merge_attributes(metadata={OWN_PARTITIONS: True})
        ),
    ]
    everything = dg.Definitions(assets=[*ASSETS, *beside])
    found = find_downstream(everything.resolve_asset_graph(), ["dlt_readings"])
    assert found == keys("dlt_readings", "facts", "overview", "mart")
    whole = everything.resolve_implicit_global_asset_job_def()
    assert set(whole.get_subset(asset_selection=found).asset_layer.selected_asset_keys) == found
