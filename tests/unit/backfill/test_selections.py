"""Selections are Dagster's; what one names must be there, and a near miss is answered with what was meant."""

from __future__ import annotations

import time

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from millpond.errors import ConfigError
from millpond.runs.selection import resolve_selection

TABLES = [f"dlt_stock_of_region_{number:03}" for number in range(500)]


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    assets = [dg.AssetSpec(name, group_name="raw") for name in TABLES]
    assets += [dg.AssetSpec("readings", group_name="gold", deps=TABLES[:2]), dg.AssetSpec(["marts", "days"])]
    made = [dg.multi_asset(specs=[spec], name=f"op_{n}")(lambda: None) for n, spec in enumerate(assets)]
    return dg.Definitions(assets=made).resolve_asset_graph()


def names(selection: str, graph: AssetGraph) -> list[str]:
    return [key.to_user_string() for key in resolve_selection(selection, graph)]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ('key:"readings" or key:"marts/days"', ["marts/days", "readings"]),
        ("readings, marts/days", ["marts/days", "readings"]),
        ('group:gold or key:"dlt_stock_of_region_007"', ["dlt_stock_of_region_007", "readings"]),
        ('+key:"readings" and not group:gold', TABLES[:2]),
        ('key:"*_007"', ["dlt_stock_of_region_007"]),
    ],
)
def test_several_assets_are_named_in_one_expression(
    graph: AssetGraph, selection: str, found: list[str]
) -> None:
    assert names(selection, graph) == found


@pytest.mark.parametrize(
    ("selection", "said", "near"),
    [
        ("dlt_stock_of_regio_007", "dlt_stock_of_regio_007", "dlt_stock_of_region_007"),
        ('key:"readings" or key:"marts/dayz"', "marts/dayz", "marts/days"),
        ('key:"readings" or group:"rw"', "'rw'", "group:raw"),
        ("not key:reading", "'reading'", "readings"),
        ("zzz", "'zzz'", "and 482 more"),
    ],
)
def test_a_name_that_is_not_there_is_refused_at_once_with_the_near_ones_also_within_an_expression(
    graph: AssetGraph, selection: str, said: str, near: str
) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError) as refused:
        resolve_selection(selection, graph)
    assert time.process_time() - began < 5
    assert said in refused.value.what
    assert near in refused.value.next_step
    assert len(refused.value.next_step) < 1_000
