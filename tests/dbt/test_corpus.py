"""What Millpond makes of small dbt projects of one feature each; `corpus/features.yml` is the table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from millpond.errors import ConfigError
from millpond.naming import dagster_name
from millpond.quality.freshness import read_dbt_freshness
from millpond.settings import Settings, settings
from millpond.transform import lineage
from millpond.transform.assets import build_assets
from millpond.transform.exposures import build_exposure_specs
from millpond.transform.manifest import load_project
from millpond.transform.model_specs import load_specs

FEATURES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "corpus" / "features.yml").read_text()
)
CHECKOUT = Path(__file__).parents[2]
Write = Callable[[dict[str, str]], None]


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_of_dbt_comes_out_as_the_table_says(
    feature: str, write_project: Write, caplog: pytest.LogCaptureFixture
) -> None:
    expected = FEATURES[feature]
    write_project(expected["files"])
    specs = {s.key.to_user_string(): s for a in build_assets() for s in a.specs}
    checks = {(c.asset_key.to_user_string(), c.name): c for a in build_assets() for c in a.check_specs}
    assert sorted(specs) == expected["assets"]
    assert [name for name in specs if specs[name].partitions_def] == expected.get("daily", [])
    refused = {
        key: model.refused for key, model in load_project(settings()).models().items() if model.refused
    }
    assert refused.keys() == expected.get("refused", {}).keys()
    assert all(words in refused[key] for key, words in expected.get("refused", {}).items())
    for name, deps in expected.get("deps", {}).items():
        assert sorted(d.asset_key.to_user_string() for d in specs[name].deps) == deps
    back = {
        name: {dep.asset_key.to_user_string(): dep.partition_mapping.start_offset}
        for name in specs
        for dep in specs[name].deps
        if isinstance(dep.partition_mapping, dg.TimeWindowPartitionMapping)
    }
    assert back == expected.get("look_back", {})
    for name, found in expected.get("checks", {}).items():
        assert {c[1]: spec.blocking for c, spec in checks.items() if c[0] == name} == found
    parsed = load_project(settings())
    found = build_exposure_specs(parsed.document(), parsed.models(), {})
    read = {s.key.to_user_string(): [d.asset_key.to_user_string() for d in s.deps] for s in found}
    assert read == expected.get("exposures", {})
    fresh = read_dbt_freshness(parsed.document(), parsed.models())
    seconds = {k.to_user_string(): [f.warn.total_seconds(), f.fail.total_seconds()] for k, f in fresh.items()}
    assert seconds == expected.get("fresh", {})
    assert [name for name in specs if specs[name].automation_condition] == expected.get("automated", [])
    for name, owners in expected.get("owners", {}).items():
        assert specs[name].owners == owners
    for name, columns in expected.get("lineage", {}).items():
        assert lineage_of(specs[name]) == columns
    for name, descriptions in expected.get("columns", {}).items():
        assert [c.description for c in specs[name].metadata["dagster/column_schema"].columns] == descriptions
    assert all(words in caplog.text for words in expected.get("logged", ()))
    for name, group in expected.get("groups", {}).items():
        assert specs[name].group_name == group
    for name, tags in expected.get("tags", {}).items():
        assert set(tags) <= set(specs[name].tags)
    tests = {test.name for test in load_project(settings()).checks().values() if test.reads}
    assert set(expected.get("audited", [])) <= tests


def lineage_of(spec: dg.AssetSpec) -> dict[str, list[str]]:
    """Return the columns that each column of an asset is computed from."""
    found = spec.metadata.get("dagster/column_lineage") or dg.TableColumnLineage({})
    return {
        column: [f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps]
        for column, deps in found.deps_by_column.items()
    }


def test_each_row_of_the_reference_is_shown_by_a_project_or_a_test_and_each_project_shows_one() -> None:
    corpus = Path(__file__).parent / "corpus"
    rows = yaml.safe_load((corpus / "rows.yml").read_text())
    shown = {name for row in rows.values() for name in row["shown_by"]}
    projects = {*FEATURES, *yaml.safe_load((corpus / "builds.yml").read_text())}
    for name in shown - projects:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (CHECKOUT / file).read_text(), name
    assert projects <= shown


def test_columns_of_the_shipped_models_are_traced_to_those_they_are_computed_from() -> None:
    specs = {spec.key.to_user_string(): lineage_of(spec) for each in build_assets() for spec in each.specs}
    renamed = specs["stg_climate_entries"]
    assert renamed["lux"] == ["dlt_climate_entries.lux"]
    through_ctes = specs["fct_daily_climate_metrics"]
    assert through_ctes["time_in_range_pct"] == ["fct_climate_readings.lux"]
    assert "reading_count" not in through_ctes, "count(*) is computed from no column"
    window = specs["fct_climate_readings"]["lux_change"]
    assert window == ["stg_climate_entries.lux", "stg_climate_entries.reading_at"]
    joined = specs["mrt_market_overview"]
    assert joined["event_date"] == ["dim_date.date_day"]
    assert joined["total_events"] == ["fct_daily_market_metrics.total_events"]
    assert specs["dim_device"]["effective_end"] == ["device_versions.effective_end"]
    assert specs["dim_date"] == {}, "it reads nothing"
    assert not [key for key, traced in load_project(settings()).lineage().items() if traced["failed"]]


def test_only_the_columns_of_changed_models_are_traced_again(
    write_project: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []
    trace = lineage._trace
    monkeypatch.setattr(
        lineage, "_trace", lambda node, *more: traced.append(node["name"]) or trace(node, *more)
    )
    files = {
        f"models/silver/{name}.sql": f"select a from {{{{ ref('{of}') }}}}"
        for name, of in (("b", "a"), ("c", "b"), ("d", "c"))
    }
    write_project({"models/silver/a.sql": "select 1 as a"} | files)
    load_project(settings())
    assert traced == ["a", "b", "c", "d"]
    write_project({"models/silver/b.sql": "select 1 + a as a from {{ ref('a') }}"})
    load_project(settings())
    assert traced[4:] == ["b"]
    write_project({"models/silver/b.sql": "select 1 + a as a, a as z from {{ ref('a') }}"})
    load_project(settings())
    assert traced[5:] == ["b", "c"], "b has another column, c could read it"


def test_what_dbt_warns_of_names_file_and_node(
    write_project: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write_project(
        {
            "models/silver/orders.sql": "select 1 as id",
            "models/silver/orders.yml": "models: [{name: oders, descripton: a typo}]",
        }
    )
    load_project(settings())
    warned = "".join(record.message for record in caplog.records if "dbt warns" in record.message)
    assert "oders" in warned
    assert "orders.yml" in warned


_SEMANTIC = """
semantic_models:
  - name: sales
    model: ref('orders')
    defaults: {agg_time_dimension: d}
    entities: [{name: x, type: primary}]
    dimensions: [{name: d, type: time, type_params: {time_granularity: day}}]
    measures: [{name: total, agg: sum, expr: x}]
metrics:
  - {name: total_sales, label: Total, type: simple, type_params: {measure: total}}
"""
_TIME_SPINE = """
models:
  - name: days
    time_spine: {standard_granularity_column: day}
    columns: [{name: day, granularity: day}]
"""


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {
                "models/silver/a.sql": "select * from {{ ref('b') }}",
                "models/silver/b.sql": "select * from {{ ref('a') }}",
            },
            "Found a cycle: model.small.",
        ),
        (
            {"models/silver/a.sql": "select '{{ env_var(\"NOT_SET\") }}' as id"},
            "'NOT_SET' in models/silver/a.sql",
        ),
        (
            {
                "models/silver/orders.sql": "select 1 as x",
                "models/silver/semantic.yml": _SEMANTIC,
                "models/silver/days.sql": "select date '2026-01-01' as day",
                "models/silver/days.yml": _TIME_SPINE,
            },
            "Invalid name `x`",
        ),
    ],
    ids=["circle", "variable", "semantic_model"],
)
def test_a_project_that_does_not_parse_is_refused_with_what_is_wrong_in_it(
    files: dict[str, str], said: str, write_project: Write
) -> None:
    write_project(files)
    with pytest.raises(ConfigError, match="the dbt project does not parse") as refused:
        load_project(settings())
    assert said in refused.value.what


def test_loading_the_specs_of_a_parsed_project_imports_neither_dbt_dagster_dbt_nor_sqlglot() -> None:
    load_project(settings())
    code = (
        "import sys; from millpond.transform.assets import build_assets; assert len(build_assets()) > 2;"
        " unwanted = ('dbt', 'dbt_common', 'dagster_dbt', 'sqlglot');"
        " print([name for name in sys.modules if name.split('.')[0] in unwanted])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert found.stdout.strip() == "[]", found.stdout


def test_a_subclass_of_the_translator_decides_how_models_appear(
    configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_translator.py").write_text(
        "from millpond.transform.translator import MillpondDbtTranslator\n\n"
        "class Ours(MillpondDbtTranslator):\n"
        "    def get_group_name(self, dbt_resource_props):\n"
        "        return 'ours'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    configured = configure(dbt_translator="our_translator:Ours")
    specs = load_specs(load_project(configured).specs(), configured.project / "dbt")
    assert {found.spec.group_name for found in specs.values()} == {"ours"}


def test_short_names_of_checks_are_chosen_by_a_translator_and_reach_the_results(
    configure: Callable[..., Settings],
) -> None:
    usual = load_project(configure())
    configured = configure(dbt_translator="millpond.transform.check_names:ShortCheckNames")
    short = load_project(configured)
    for project in (usual, short):
        named = [(c.asset, c.name) for c in project.checks().values() if c.kind == "test" and c.asset]
        assert len(named) == len(set(named))
        for key, found in load_specs(project.specs(), configured.project / "dbt").items():
            for spec in found.checks:
                assert project.checks()[spec.metadata["dagster_dbt/unique_id"]].name == spec.name, key
    document = usual.document()
    for key, check in usual.checks().items():
        if check.kind == "test":
            assert check.name == dagster_name(document["nodes"][key]["name"])
            assert len(short.checks()[key].name) <= len(check.name)


@pytest.mark.parametrize("named", ["nowhere:Translator", "millpond.settings:Settings", "no_class"])
def test_a_translator_that_is_none_is_refused_by_name(configure: Callable[..., Settings], named: str) -> None:
    with pytest.raises(
        ConfigError, match=f"MILLPOND_DBT_TRANSLATOR={named}(.|\n)*MillpondDbtTranslator|{named}"
    ):
        load_project(configure(dbt_translator=named))
