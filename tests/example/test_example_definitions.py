"""What Dagster is told of the example is complete."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import dagster as dg

from millpond.automation.conditions import EXEMPTION as BY_HAND
from millpond.instance.home import open_instance
from millpond.instance.unreachable import find_unreachable
from millpond.partitions import Window
from millpond.platform import build_definitions
from millpond.quality.freshness import EXEMPTION
from millpond.resources.run import MAINTENANCE
from millpond.runs.selection import resolve_selection
from millpond.runtime.demo_source import mark_demo_home
from millpond.runtime.home import Home, layout
from millpond.settings import Settings, settings
from millpond.transform.exposures import GROUP


def specs() -> dict[str, dg.AssetSpec]:
    from millpond.definitions import defs

    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_every_asset_of_the_example_is_described_owned_and_promised() -> None:
    every = {name: spec for name, spec in specs().items() if not name.startswith(f"{MAINTENANCE}/")}
    found = {name: spec for name, spec in every.items() if not name.startswith(f"{GROUP}/")}
    for name, spec in found.items():
        assert spec.owners, name
        assert spec.description, name
        assert spec.tags.get("domain") in {"glucose", "github", "meals", "calendar"}, name
        assert "dagster/column_schema" in spec.metadata, name
        assert spec.automation_condition or spec.metadata[BY_HAND], name
        assert spec.freshness_policy or spec.metadata[EXEMPTION], name
    assert {name for name, spec in found.items() if not spec.freshness_policy} == {"dim_date"}
    for name in every.keys() - found.keys():  # dashboards, which nothing materializes
        spec = every[name]
        assert spec.owners, name
        assert spec.description, name
        assert {dep.asset_key.path[0] for dep in spec.deps} == {"marts"}, name


def test_what_reads_a_source_without_an_address_is_left_out_unless_it_is_named(
    home: Home, configure: Callable[..., Settings]
) -> None:
    """Whoever has a Nightscout server, and neither meter nor diary, has the glucose models all the same."""
    (layout(settings()).root / "demo").unlink()
    try:
        configure(nightscout_url="https://cgm.example.org")
        graph = build_definitions().resolve_asset_graph()
    finally:
        mark_demo_home(settings())

    def chosen(selection: str) -> set[str]:
        return {key.to_user_string() for key in resolve_selection(selection, graph)}

    without = {"stg_meter_readings", "fct_meals", "mrt_meal_response", "marts/mrt_meal_response"}
    for selection in ("*", "dlt_glucose_entries*"):
        assert {"mrt_glucose_overview", "marts/mrt_glucose_overview"} <= chosen(selection)
        assert not without & chosen(selection)
        assert "fct_github_user_events" not in chosen(selection)
    assert chosen("dlt_meter_readings") == {"dlt_meter_readings"}
    assert chosen("fct_meals*") >= {"fct_meals"}
    meals = graph.get(dg.AssetKey("fct_meals"))
    assert meals.metadata["address"] == (
        "none: MILLPOND_DIARY_URL is not set; none: MILLPOND_METER_URL is not set"
    )
    assert meals.automation_condition is None
    assert graph.get(dg.AssetKey("fct_glucose_readings")).automation_condition
    with open_instance() as recorded:
        day = Window.of_day(dt.date(2026, 11, 1))
        gone = find_unreachable(recorded, graph, ["fct_meals", "fct_glucose_readings"], "main", day)
    assert gone.of("fct_meals") == {dt.date(2026, 11, 1)}
    assert gone.assets >= {"fct_meals"}
    assert "fct_glucose_readings" not in gone.assets
