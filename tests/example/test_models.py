from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from millpond.runtime.dbt_package import PACKAGE
from millpond.transform.models import is_daily

LAYERS = ("bronze", "silver", "gold")
EXPECTED = {
    "bronze": {"stg_diary_entries", "stg_glucose_entries", "stg_github_user_events", "stg_meter_readings"},
    "silver": {"fct_glucose_readings", "fct_github_user_events", "fct_meals"},
    "gold": {
        "dim_date",
        "dim_device",
        "dim_repository",
        "mrt_glucose_readings",
        "fct_daily_glucose_metrics",
        "fct_daily_glucose_quality",
        "mrt_glucose_overview",
        "mrt_glucose_hourly_patterns",
        "fct_daily_github_metrics",
        "mrt_github_activity_overview",
        "fct_daily_meal_metrics",
        "mrt_meal_response",
    },
}
Nodes = dict[str, dict[str, Any]]


def test_every_layer_has_its_models(models: Nodes) -> None:
    assert {layer: {n for n, m in models.items() if m["schema"] == layer} for layer in LAYERS} == EXPECTED


def test_every_model_has_one_sql_and_one_yml_of_its_name(models: Nodes, project: Path) -> None:
    for name, node in models.items():
        assert Path(node["original_file_path"]).name == f"{name}.sql"
        assert node["patch_path"] == f"lakehouse://{node['original_file_path'].removesuffix('.sql')}.yml"
        assert Path(node["original_file_path"]).parts[1] == node["schema"]
    assert len(list(project.glob("models/**/*.sql"))) == len(models)


def test_every_model_and_column_is_described_typed_and_owned(models: Nodes, document: dict[str, Any]) -> None:
    groups = {group["name"]: group["owner"]["name"] for group in document["groups"].values()}
    for name, node in models.items():
        assert node["description"], name
        assert groups[node["config"]["group"]].startswith("team:"), name
        assert node["config"]["meta"]["domain"] in {"glucose", "github", "meals", "calendar"}, name
        for column in node["columns"].values():
            assert column["description"], (name, column["name"])
            assert column["data_type"], (name, column["name"])
    for source in document["sources"].values():
        assert source["config"]["event_time"] == "_partition_date"
        assert all(c["description"] and c["data_type"] for c in source["columns"].values())


def test_every_model_has_a_key_of_its_columns_that_is_tested(models: Nodes, document: dict[str, Any]) -> None:
    tested = {
        node["attached_node"]: node["test_metadata"]["kwargs"]["columns"]
        for node in document["nodes"].values()
        if node["resource_type"] == "test" and node["test_metadata"]["name"] == "has_key"
    }
    for name, node in models.items():
        key = node["config"]["meta"]["key"]
        assert key, name
        assert set(key) <= set(node["columns"]), name
        assert tested[node["unique_id"]] == key, name


def test_gold_models_have_enforced_contracts(models: Nodes) -> None:
    for name, node in models.items():
        assert node["config"]["contract"]["enforced"] is (node["schema"] == "gold"), name


def test_daily_models_are_standard_microbatch_models_by_date(models: Nodes) -> None:
    daily = {name: node for name, node in models.items() if is_daily(node)}
    assert set(models) - set(daily) == {
        "dim_date",
        "dim_device",
        "dim_repository",
        "mrt_glucose_overview",
        "mrt_glucose_hourly_patterns",
        "mrt_github_activity_overview",
        "mrt_meal_response",
    }
    for name, node in models.items():
        config = node["config"]
        if name not in daily:
            assert config["materialized"] == "table", name
            continue
        assert (config["materialized"], config["incremental_strategy"]) == ("incremental", "microbatch"), name
        assert config["batch_size"] == "day", name
        assert node["columns"][config["event_time"]]["data_type"] == "date", name


def test_five_marts_are_published_with_their_keys(models: Nodes) -> None:
    metas = {name: node["config"]["meta"] for name, node in models.items()}
    assert {name: meta["publish"]["key"] for name, meta in metas.items() if "publish" in meta} == {
        "mrt_glucose_overview": ["reading_date"],
        "mrt_glucose_hourly_patterns": ["hour_of_day", "day_of_week"],
        "mrt_glucose_readings": ["entry_id"],
        "mrt_github_activity_overview": ["event_date"],
        "mrt_meal_response": ["response_date"],
    }


def test_only_direction_category_coverage_and_gmi_do_not_block(document: dict[str, Any]) -> None:
    tests = [node for node in document["nodes"].values() if node["resource_type"] == "test"]
    assert all(test["description"] for test in tests)
    assert {test["name"] for test in tests if test["config"]["severity"].lower() == "warn"} == {
        "fct_glucose_readings_known_direction",
        "fct_github_user_events_known_category",
        "fct_daily_glucose_metrics_plausible_gmi",
        "fct_daily_glucose_metrics_one_reading_per_slot",
        "mrt_glucose_overview_plausible_gmi",
    }


@pytest.mark.parametrize(
    "construct",
    [
        r"::",
        r"\bqualify\b",
        r"\b(group|order) by all\b",
        r"\bexclude\b",
        r"\bilike\b",
        r"target\.(type|name)",
    ],
)
def test_models_use_nothing_that_one_engine_alone_understands(construct: str, project: Path) -> None:
    for file in project.glob("models/**/*.sql"):
        assert not re.search(construct, file.read_text(), re.IGNORECASE), file.name


def test_what_differs_between_engines_has_both_versions() -> None:
    for file in PACKAGE.glob("macros/engine/*.sql"):
        text = file.read_text()
        assert f"macro duckdb__{file.stem}(" in text, file.name
        assert f"macro trino__{file.stem}(" in text, file.name
    for file in PACKAGE.glob("macros/*.sql"):
        assert "target.type" not in file.read_text(), file.name


def test_tables_with_many_rows_a_day_are_partitioned_by_month(models: Nodes) -> None:
    partitioning = {
        name: node["config"]["properties"]["partitioning"]
        for name, node in models.items()
        if "properties" in node["config"]
    }
    assert partitioning == {
        "stg_glucose_entries": "ARRAY['month(_partition_date)']",
        "fct_glucose_readings": "ARRAY['month(reading_date)']",
        "mrt_glucose_readings": "ARRAY['month(reading_date)']",
    }
