"""What must hold before this project is deployed. Needs no server and no network."""

import dagster as dg
import pytest
from my_project.definitions import my_report


@pytest.fixture(scope="session")
def definitions() -> dg.Definitions:
    """Everything that Dagster loads: sources, models, and what my_project/ defines."""
    from millpond.definitions import defs

    return defs


def test_the_project_loads(definitions: dg.Definitions) -> None:
    definitions.get_repository_def().load_all_definitions()


def test_own_assets_stand_beside_those_of_sources_and_models(definitions: dg.Definitions) -> None:
    assert my_report.key in definitions.resolve_asset_graph().get_all_asset_keys()
