"""What a build makes of small dbt projects of one feature each; `corpus/builds.yml` is the table."""

from __future__ import annotations

import datetime as dt

import pytest

from corpus_builds import FEATURES, build_feature
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.transform.results import AuditFailed
from millpond.transform.runner import build
from small_projects import Write, built


@pytest.mark.parametrize("feature", FEATURES)
def test_a_build_of_a_feature_comes_out_as_the_table_says(
    feature: str, write_project: Write, home: Home
) -> None:
    build_feature(FEATURES[feature], write_project)


def test_a_daily_model_that_does_not_compile_says_why(write_project: Write, home: Home) -> None:
    config = (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day',"
        " batch_size='day', begin='2024-01-01') }}"
    )
    write_project({"models/silver/orders.sql": config + "select {{ no_such_macro() }} as day"})
    with pytest.raises(AuditFailed, match="'no_such_macro' is undefined"):
        build(["orders"], Window.of_day(dt.date(2026, 1, 1)), ref="main", run_id="test")


def test_options_of_dbt_in_the_environment_do_not_change_a_build(
    write_project: Write, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(
        {"seeds/codes.csv": "id\n1\n2\n", "models/silver/orders.sql": "select * from {{ ref('codes') }}"}
    )
    for name, value in {"EMPTY": "1", "SAMPLE": "1 day", "RESOURCE_TYPES": "seed", "DEFER": "1"}.items():
        monkeypatch.setenv(f"DBT_{name}", value)
    result, _ = built(["codes", "orders"])
    assert [(model.model, model.written.rows) for model in result.models] == [("codes", 2), ("orders", 2)]
