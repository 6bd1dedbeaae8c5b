"""Exposures end the lineage: commands select what is above them, never them."""

from __future__ import annotations

import dagster as dg
import pytest

from millpond.errors import ConfigError
from millpond.runs.selection import resolve_selection
from millpond.transform.exposures import build_exposure_specs

DOCUMENT = {
    "nodes": {},
    "sources": {
        "source.shop.raw.orders": {
            "schema": "raw",
            "identifier": "orders",
            "source_name": "raw",
            "name": "orders",
            "config": {"meta": {"dagster": {"asset_key": ["dlt_orders"]}}},
        }
    },
    "exposures": {
        "exposure.shop.board": {
            "name": "board",
            "type": "dashboard",
            "maturity": None,
            "url": "https://example.com/board",
            "label": "Board",
            "description": "",
            "owner": {"name": "Sales & Returns", "email": None},
            "tags": ["for sales"],
            "depends_on": {"nodes": ["source.shop.raw.orders"]},
        }
    },
}
RAW, MART = dg.AssetKey("dlt_orders"), dg.AssetKey(["marts", "orders"])


def test_an_exposure_depends_on_the_mart_where_there_is_one() -> None:
    (plain,) = build_exposure_specs(DOCUMENT, {}, {})
    (of_mart,) = build_exposure_specs(DOCUMENT, {}, {RAW: MART})
    assert [dep.asset_key for dep in plain.deps] == [RAW]
    assert [dep.asset_key for dep in of_mart.deps] == [MART]
    assert plain.metadata["url"] == dg.MetadataValue.url("https://example.com/board")
    assert (plain.owners, plain.description) == (["team:Sales-Returns"], "Board")


def test_a_selection_takes_what_can_be_materialized_and_refuses_an_exposure_alone() -> None:
    @dg.asset
    def dlt_orders() -> None: ...

    graph = dg.Definitions(assets=[dlt_orders, *build_exposure_specs(DOCUMENT, {}, {})]).resolve_asset_graph()
    for selection in ("*", "dlt_orders*", "+exposures/board"):
        assert resolve_selection(selection, graph) == [RAW]
    with pytest.raises(ConfigError, match=r"nothing materializes exposures/board(.|\n)*\+exposures/board"):
        resolve_selection("exposures/board", graph)
