"""dagster-dbt's `DbtCliResource` in assets of a user works as dbt by hand: on a branch, never on main."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_dbt import DbtCliResource, dbt_assets

from millpond.lake import read
from millpond.runtime.dbt_package import PACKAGE
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.manifest import manifest_path
from small_projects import write_files

FILES = {
    "models/orders.sql": "select 1 as id",
    "models/orders.yml": "models: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of dagster-dbt and dbt, in the process of the asset
def test_assets_of_a_user_build_with_dbt_on_a_branch(
    home: Home, configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, FILES)
    configure(project=tmp_path)
    monkeypatch.setenv("MILLPOND_DBT_BRANCH", "ours")

    @dbt_assets(manifest=manifest_path(settings()))
    def shop(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
        yield from dbt.cli(["build"], context=context).stream()

    dbt = DbtCliResource(
        project_dir=tmp_path / "dbt",
        profiles_dir=str(PACKAGE),
        dbt_executable=str(Path(sys.executable).parent / "dbt"),
    )
    result = dg.materialize([shop], resources={"dbt": dbt})
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["silver", "orders"])
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    assert read.scan("ours", "silver.orders").to_pylist() == [{"id": 1}]
    assert read.list_tables("main") == []
