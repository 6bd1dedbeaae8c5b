"""`--dbt-select` means what dbt's own `--select` means."""

from __future__ import annotations

import pytest

from millpond.cli.materialize import print_refused
from millpond.errors import ConfigError
from millpond.transform.dbt_selection import list_assets
from small_projects import Write

FILES = {
    "models/silver/orders.sql": "{{ config(tags='nightly') }} select id from {{ source('raw', 'sales') }}",
    "models/silver/all.yml": """
sources: [{name: raw, schema: raw, tables: [{name: sales}]}]
exposures: [{name: board, type: dashboard, owner: {name: ann}, depends_on: ["ref('orders')"]}]
unit_tests:
  - name: one
    model: orders
    given: [{input: "source('raw', 'sales')", rows: [{id: 1}]}]
    expect: {rows: [{id: 1}]}
""",
    "selectors.yml": "selectors: [{name: nightly, definition: {method: tag, value: nightly}}]",
}


@pytest.mark.parametrize(
    ("select", "exclude", "keys"),
    [
        ("stg_climate_entries", None, {"stg_climate_entries"}),
        ("path:models/silver", None, {"fct_climate_readings", "fct_market_events"}),
        ("path:models/silver", "*market*", {"fct_climate_readings"}),
        ("tag:static dim_date", None, {"dim_date"}),
        ("resource_type:snapshot,group:growing", None, {"device_versions"}),
        ("source:raw.climate_entries+1,path:models/bronze", None, {"stg_climate_entries"}),
        ("+fct_market_events,path:models/bronze", None, {"stg_market_events"}),
    ],
)
def test_dbt_decides_what_a_selection_chooses(select: str, exclude: str | None, keys: set[str]) -> None:
    assert set(list_assets(select, exclude).keys) == keys


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ("exposure:board", "exposure.small.board"),
        ("test_type:unit", "unit_test.small.orders.one"),
        ("source:raw", "source.small.raw.sales"),
    ],
)
def test_a_selection_of_no_asset_names_what_it_chooses_and_the_way_to_assets(
    select: str, chosen: str, write_project: Write
) -> None:
    write_project(FILES)
    with pytest.raises(ConfigError, match="chooses no assets, only") as refused:
        list_assets(select, None)
    assert chosen in refused.value.what
    assert f"`{select}+`, or that they read, `1+{select}`" in str(refused.value)
    assert list_assets(f"{select}+ 1+{select}", None).keys == ["orders"]


def test_a_selector_of_a_file_is_chosen_by_name(write_project: Write) -> None:
    write_project(FILES)
    assert list_assets("selector:nightly", None).keys == ["orders"]
    with pytest.raises(ConfigError, match=r"there is no selector weekly(.|\n)*choose among nightly"):
        list_assets("selector:weekly", None)
    with pytest.raises(ConfigError, match="not combine --exclude with selector:nightly"):
        list_assets("selector:nightly", "orders")


def test_a_selection_that_dbt_cannot_read_fails_with_its_words() -> None:
    with pytest.raises(ConfigError, match=r"'colour' is not a valid method name"):
        list_assets("colour:blue", None)


@pytest.mark.parametrize(
    "select", ["result:error", "tag:a,state:modified+", "1+source_status:fresher", "a +state:new"]
)
def test_a_selection_that_compares_with_a_former_run_is_refused_by_name(select: str) -> None:
    with pytest.raises(ConfigError, match=r"(result|state|source_status) compares with an earlier run"):
        list_assets(select, None)


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(ConfigError, match="is empty"):
        list_assets(" ", None)


def test_a_selection_that_chooses_nothing_says_so_and_names_the_models() -> None:
    with pytest.raises(ConfigError, match=r"'no_such' does not match(.|\n)*choose among (.|\n)*, dim_date"):
        list_assets("no_such", None)


def test_a_refused_model_that_a_selection_names_is_named_with_the_reason(
    write_project: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(
        {
            "models/silver/orders.sql": "select 1 as id",
            "models/silver/shown.sql": "{{ config(materialized='view') }} select * from {{ ref('orders') }}",
        }
    )
    found = list_assets("orders+", None)
    print_refused(found.refused)
    assert found.keys == ["orders"]
    assert capsys.readouterr().err == (
        "model.small.shown is not built: materialized 'view' is not supported;"
        " use ephemeral, or table where others read it\n"
    )
    with pytest.raises(
        ConfigError, match=r"model\.small\.shown is refused: materialized 'view'(.|\n)*orders"
    ):
        list_assets("shown", None)
