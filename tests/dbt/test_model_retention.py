"""`meta.retention` of a model: in Dagster's metadata, at night, and refused where it cannot mean anything."""

from __future__ import annotations

import datetime as dt
import shutil

import pyarrow as pa
import pytest

from lake_readings import DAY
from millpond.instance.record import RETENTION
from millpond.lake import read
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window, today
from millpond.platform import build_definitions
from millpond.runs.expiry import expire_tables
from millpond.settings import settings
from millpond.transform.manifest import load_project
from project_folders import CHECKOUT
from small_projects import Write, built

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("home", "clock")]
_MODEL = """
models:
  - name: daily
    config:
      materialized: incremental
      incremental_strategy: microbatch
      event_time: day
      batch_size: day
      begin: "2024-01-01"
      unique_key: id
      meta: {{ retention: {kept} }}
    columns: [{{ name: day }}]
  - name: whole
    config: {{ meta: {{ {other} }} }}
"""
_SOURCE = f"sources: [{{name: raw, schema: raw, tables: [{{name: events, config: {{event_time: {DAY}}}}}]}}]"


def files(kept: str, other: str = "") -> dict[str, str]:
    return {
        "models/sources.yml": _SOURCE,
        "models/daily.sql": f"select {DAY} as day, id from {{{{ source('raw', 'events') }}}}",
        "models/whole.sql": "select count(*) as n from {{ ref('daily') }}",
        "models/models.yml": _MODEL.format(kept=kept, other=other),
    }


def test_older_days_of_a_model_that_declares_its_retention_go_at_night(write_project: Write) -> None:
    write_project(files("40d"))
    shutil.copy(CHECKOUT / "dagster.yaml", settings().project)
    now = today(settings().zone)
    days = [now - dt.timedelta(days=number) for number in (50, 41, 40, 2)]
    rows = pa.table({DAY: pa.array(days, pa.date32()), "id": [str(day) for day in days]})
    window = Window.of_days(days[0], days[-1])
    replace([Replacement(TableSpec("raw.events", rows.schema, DAY), rows, window)], ref="main", run_id="t")
    result, text = built(list(load_project(settings()).models()), window)
    assert result.merged, text
    definitions = build_definitions()
    declared = {
        key: spec.metadata[RETENTION]
        for spec in definitions.resolve_all_asset_specs()
        if RETENTION in spec.metadata
        for key in [spec.key.to_user_string()]
    }
    assert declared == {"daily": 40}
    assert [(each.table, each.rows) for each in expire_tables(definitions, dry_run=True)] != []
    expire_tables(definitions)
    assert sorted(read.scan("main", "silver.daily")["day"].to_pylist()) == days[2:]
    assert read.count("main", "raw.events") == 4, "it declares none"
    assert expire_tables(definitions) == []


def test_a_retention_that_cannot_be_kept_refuses_the_model_with_an_example(write_project: Write) -> None:
    write_project(files("30d", "retention: 40d"))
    refused = {model.key: model.refused for model in load_project(settings()).models().values()}
    assert [*refused] == ["daily", "whole"]
    assert all("write it like retention: 400d" in text for text in refused.values()), refused
