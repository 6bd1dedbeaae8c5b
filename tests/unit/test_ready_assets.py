"""A selection that reaches a join leaves it out while its other input was never materialized, and says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import dagster as dg
import pytest

from millpond.runs.selection import leave_out_unready, resolve_selection

CALENDAR = dg.AssetSpec("dim_date", kinds={"dbt"})
SHOP, BANK = dg.AssetSpec("dlt_orders"), dg.AssetSpec("dlt_payments")
DAILY = dg.AssetSpec("daily_orders", deps=[SHOP, CALENDAR])
JOINED = dg.AssetSpec("paid_orders", deps=[SHOP, BANK])
MART = dg.AssetSpec("mrt_paid_orders", deps=[JOINED])
EXTERNAL = dg.AssetSpec("rates")
PRICED = dg.AssetSpec("priced_orders", deps=[SHOP, EXTERNAL])
EVERY = [CALENDAR, SHOP, BANK, DAILY, JOINED, MART, PRICED]


@dg.multi_asset(specs=EVERY)
def everything():  # type: ignore[no-untyped-def]
    yield from ()


GRAPH = dg.Definitions(assets=[everything, EXTERNAL]).resolve_asset_graph()
LEFT_OUT = "paid_orders is left out: it reads dlt_payments, never materialized"


@pytest.mark.parametrize(
    ("selection", "made", "chosen", "said"),
    [
        ("dlt_orders*", [], ["daily_orders", "dlt_orders", "priced_orders"], (LEFT_OUT,)),
        (
            "dlt_orders*",
            ["dlt_payments"],
            ["daily_orders", "dlt_orders", "mrt_paid_orders", "paid_orders", "priced_orders"],
            (),
        ),
        ("dlt_orders*,dlt_payments", [], [each.key.to_user_string() for each in EVERY[1:]], ()),
        ("dlt_orders,paid_orders", [], ["dlt_orders", "paid_orders"], ()),
        ("paid_orders*", [], ["mrt_paid_orders", "paid_orders"], ()),
        ("*", [], [each.key.to_user_string() for each in EVERY], ()),
    ],
)
def test_what_cannot_be_built_yet_is_left_out_unless_it_is_named(
    selection: str, made: list[str], chosen: list[str], said: tuple[str, ...]
) -> None:
    def find(names: Collection[str]) -> Mapping[str, Collection[int]]:
        return {name: [1] if name in made else [] for name in names}

    keys, sentences = leave_out_unready(resolve_selection(selection, GRAPH), GRAPH, selection, find)
    assert [key.to_user_string() for key in keys] == sorted(chosen)
    assert sentences == said
