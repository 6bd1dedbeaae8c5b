"""What Dagster is told of the example is complete."""

from __future__ import annotations

import dagster as dg

from millpond.automation.conditions import EXEMPTION as BY_HAND
from millpond.quality.freshness import EXEMPTION
from millpond.transform.exposures import GROUP


def specs() -> dict[str, dg.AssetSpec]:
    from millpond.definitions import defs

    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_every_asset_of_the_example_is_described_owned_and_promised() -> None:
    every = specs()
    found = {name: spec for name, spec in every.items() if not name.startswith(f"{GROUP}/")}
    for name, spec in found.items():
        assert spec.owners, name
        assert spec.description, name
        assert spec.tags.get("domain") in {"glucose", "github", "calendar"}, name
        assert "dagster/column_schema" in spec.metadata, name
        assert spec.automation_condition or spec.metadata[BY_HAND], name
        assert spec.freshness_policy or spec.metadata[EXEMPTION], name
    assert {name for name, spec in found.items() if not spec.freshness_policy} == {"dim_date"}
    for name in every.keys() - found.keys():  # dashboards, which nothing materializes
        spec = every[name]
        assert spec.owners, name
        assert spec.description, name
        assert {dep.asset_key.path[0] for dep in spec.deps} == {"marts"}, name
