"""Several dbt projects of one installation: each is parsed and built on its own, all into one lake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from millpond.errors import ConfigError
from millpond.lake import read
from millpond.platform import build_definitions
from millpond.resources.run import MAINTENANCE
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.assets import build_assets
from millpond.transform.dbt_selection import list_assets
from millpond.transform.docs import generate_docs
from millpond.transform.manifest import load_project, load_project_or_last
from small_projects import built, write_files

PROJECT = """
{{name: {0}, version: 1.0.0, profile: {0}, models: {{{0}: {{+schema: {1}, +materialized: table}}}}}}
"""
SHOP = {
    "models/orders.sql": "select 1 as id, 10 as amount",
    "models/orders.yml": "models: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]",
}
FINANCE = {
    "dbt_project.yml": PROJECT.format("finance", "gold"),
    "models/sources.yml": """
sources:
  - name: shop
    schema: silver
    tables: [{name: orders, columns: [{name: amount, data_tests: [not_null]}]}]
""",
    "models/sales.yml": "models: [{name: sales, config: {meta: {publish: {key: [amount]}, key: [amount]}}}]",
    "models/board.yml": """
exposures: [{name: board, type: dashboard, owner: {name: ann}, depends_on: ["source('shop', 'orders')"]}]
""",
    "models/sales.sql": "select sum(amount) as amount from {{ source('shop', 'orders') }}",
}
Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(configure: Callable[..., Settings], tmp_path: Path) -> Write:
    """Return a function that writes files of the second project; the first is there."""
    write_files(tmp_path, SHOP)
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\ndbt = ["dbt", "dbt_finance"]\n')

    def written(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / "dbt_finance" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "dbt_finance" / name).write_text(text)
        configure(project=tmp_path)
        return tmp_path

    return written


@pytest.mark.slow
def test_a_project_reads_what_another_makes_and_is_built_after_it(home: Home, write: Write) -> None:
    root = write(FINANCE)
    steps = {spec.key.to_user_string(): (step, spec) for step in build_assets() for spec in step.specs}
    assert steps.keys() == {"orders", "sales"}
    step, sales = steps["sales"]
    assert [dep.asset_key.to_user_string() for dep in sales.deps] == ["orders"]
    assert {key.asset_key.to_user_string() for key in step.check_keys} == {"orders"}
    (code,) = sales.metadata["dagster/code_references"].code_references
    assert code.file_path == str(root / "dbt_finance" / "models" / "sales.sql")
    assert list_assets("resource_type:model", None).keys == ["orders", "sales"]
    assert list_assets("sales", None).keys == ["sales"]
    graph = build_definitions().resolve_asset_graph()
    data = {key.to_user_string() for key in graph.get_all_asset_keys() if key.path[0] != MAINTENANCE}
    assert data == {"orders", "sales", "marts/sales", "exposures/board"}
    (read_by,) = graph.get(dg.AssetKey(["exposures", "board"])).parent_keys
    assert read_by == dg.AssetKey("orders")
    assert built(["orders"])[0].merged
    result, _ = built(["sales"])
    assert [(check.model, check.passed) for check in result.checks] == [("orders", True)]
    assert read.scan("main", "gold.sales").to_pylist() == [{"amount": 10}]


def test_the_docs_of_each_further_project_are_below_those_of_the_first(home: Home, write: Write) -> None:
    write(FINANCE)
    assert built(["orders"])[0].merged
    folder = generate_docs(settings(), "main")
    for of, model in ((folder, "model.small.orders"), (folder / "dbt_finance", "model.finance.sales")):
        assert (of / "index.html").is_file()
        assert model in json.loads((of / "manifest.json").read_text())["nodes"]
    assert "model.small.orders" in json.loads((folder / "catalog.json").read_text())["nodes"]


def test_what_is_read_and_not_there_names_the_model_of_the_other_project(home: Home, write: Write) -> None:
    write(FINANCE)
    with pytest.raises(Exception, match=r"sales reads silver.orders(.|\n)*millpond materialize orders"):
        built(["sales"])


def test_a_project_that_does_not_parse_stops_its_own_models_alone(home: Home, write: Write) -> None:
    write(FINANCE)
    load_project(settings())
    root = write({"models/broken.sql": "select {{ nothing }"})
    shown = load_project_or_last(settings())
    assert shown
    assert {model.key for model in shown.models().values()} == {"orders", "sales"}
    assert built(["orders"])[0].merged
    with pytest.raises(ConfigError, match=rf"broken.sql(.|\n)*below {root / 'dbt_finance'}"):
        built(["sales"])


def test_models_that_two_projects_would_make_are_refused_with_both_files(write: Write) -> None:
    write(FINANCE | {"models/orders.sql": "select 2 as id"})
    refused = {
        key: model.refused for key, model in load_project(settings()).models().items() if model.refused
    }
    assert refused.keys() == {"model.small.orders", "model.finance.orders"}
    assert "dbt/models/orders.sql and dbt_finance/models/orders.sql" in refused["model.small.orders"]
    assert {spec.key.to_user_string() for step in build_assets() for spec in step.specs} == {"sales"}


def test_two_projects_of_one_name_are_refused_with_both_folders(write: Write) -> None:
    write({"dbt_project.yml": PROJECT.format("small", "gold")})
    with pytest.raises(ConfigError, match="in dbt and dbt_finance are both called small"):
        load_project(settings())
