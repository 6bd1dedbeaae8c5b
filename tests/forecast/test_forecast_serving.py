"""The approved model forecasts each day into the lake; everything else leaves its table as it is."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from packaged_models import DAY, READINGS, make_readings, package_model, write_readings_of

from forecast.approved import build_approved_specs
from forecast.manifest import Manifest
from forecast.places import find_places
from forecast.quality import measure_reading_drift, measure_recent_error
from forecast.registry import approve, roll_back
from forecast.serving import COLUMNS, TABLE
from forecast.serving_assets import build_forecast_asset
from forecast.steps import STEPS
from millpond.backfill.plan import State
from millpond.backfill.planner import make_plan
from millpond.cli.retirable import list_tables_without_model
from millpond.lake import read, refs
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.runs.run import JOB, RunOutcome, materialize
from millpond.runtime.home import Home

DAYS = Window.of_days(DAY, DAY + dt.timedelta(days=1))
BEFORE = Window.of_days(DAY - dt.timedelta(days=1), DAYS.last)
READINGS_A_DAY = 288 - 6
WITHOUT_FORECAST = 12
"""Readings of a day whose features reach into its gap: those of the hour after it."""


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[build_forecast_asset(), *build_approved_specs(), dg.AssetSpec("fct_glucose_readings")],
        jobs=[dg.define_asset_job(JOB, selection="*")],
    )


@pytest.fixture(autouse=True)
def _readings(home: Home) -> None:
    shutil.rmtree(find_places("glucose").root, ignore_errors=True)
    write_readings_of(BEFORE)


def score(
    definitions: dg.Definitions, recorded: dg.DagsterInstance, window: Window = DAYS, **more: Any
) -> RunOutcome:
    return materialize("fct_glucose_forecast", window, definitions=definitions, instance=recorded, **more)


def serve(number: int) -> Manifest:
    model = package_model(number)
    approve("glucose", model.short, by="ada", reason="test")
    return model


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read.scan("main", TABLE).sort_by("reading_at").to_pylist()
    return found


def snapshot() -> int | None:
    return read.load_table("main", TABLE).metadata.current_snapshot_id


@pytest.mark.slow
def test_without_an_approved_model_days_are_made_without_rows_and_say_so(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    package_model(1)
    assert score(definitions, recorded).success
    assert rows() == []
    assert read.load_table("main", TABLE).schema().column_names == list(COLUMNS)
    (event,) = recorded.fetch_materializations(dg.AssetKey("fct_glucose_forecast"), limit=1).records
    assert event.asset_materialization
    assert event.asset_materialization.metadata["model"].value == "none"
    (run,) = recorded.get_runs()
    said = [entry.user_message for entry in recorded.all_logs(run.run_id)]
    assert any("no model is approved" in text and "millpond forecast status" in text for text in said)


def test_the_approved_model_forecasts_each_reading_with_a_history_and_again_the_same(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    model = serve(5)
    package_model(9)
    assert score(definitions, recorded).success
    found = rows()
    assert {row["forecast_date"] for row in found} == set(DAYS.days)
    assert len(found) == len(DAYS) * (READINGS_A_DAY - WITHOUT_FORECAST)
    for row in found:
        assert row["target_at"] - row["reading_at"] == dt.timedelta(minutes=30)
        assert row["forecast_mg_dl"] == pytest.approx(row["glucose_mg_dl"] + 5, abs=0.011)
        assert 0 <= row["low_risk"] <= 1
        assert row["model_hash"] == model.short
    first = found[0]
    assert (first["reading_at"].hour, first["glucose_mg_dl"], first["linear_mg_dl"]) == (0, 100.0, -70.0)
    before = snapshot()
    assert score(definitions, recorded, Window.of_day(DAYS.last)).success
    assert (rows(), snapshot()) == (found, before)


def states(definitions: dg.Definitions, recorded: dg.DagsterInstance) -> set[State]:
    plan = make_plan(
        "fct_glucose_forecast", DAYS.days, instance=recorded, definitions=definitions, ref="main"
    )
    return {item.state for item in plan.items}


def test_another_model_makes_days_stale_and_history_stays_until_it_is_asked_for(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    from forecast.approved import record_approved

    one = serve(1)
    assert score(definitions, recorded).success
    assert states(definitions, recorded) == {State.FRESH}
    other = serve(2)
    record_approved(recorded, "glucose")
    assert states(definitions, recorded) == {State.STALE}
    assert {row["model_hash"] for row in rows()} == {one.short}
    assert score(definitions, recorded, Window.of_day(DAYS.last)).success
    assert {row["forecast_date"]: row["model_hash"] for row in rows()} == {
        DAYS.start: one.short,
        DAYS.last: other.short,
    }
    roll_back("glucose", by="ada", reason="test")
    record_approved(recorded, "glucose")
    assert states(definitions, recorded) == {State.FRESH, State.STALE}


def altered(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.skops", "risk.skops"])
def test_a_model_of_which_one_byte_changed_is_not_served(
    definitions: dg.Definitions, recorded: dg.DagsterInstance, name: str
) -> None:
    model = serve(1)
    assert score(definitions, recorded).success
    before = snapshot()
    altered(find_places("glucose").artifacts / model.folder / name)
    outcome = score(definitions, recorded)
    assert not outcome.success
    assert f"{model.folder} is refused: {name} changed" in str(outcome)
    assert "millpond forecast rollback" in str(outcome)
    assert snapshot() == before


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [("hour_of_day", None, "hour_of_day is missing"), ("glucose_mg_dl", pa.string(), "glucose_mg_dl is")],
)
def test_readings_with_other_columns_are_not_scored(
    definitions: dg.Definitions,
    recorded: dg.DagsterInstance,
    column: str,
    kind: pa.DataType | None,
    said: str,
) -> None:
    serve(1)
    assert score(definitions, recorded).success
    before, drifted = snapshot(), make_readings(BEFORE)
    place = drifted.schema.get_field_index(column)
    drifted = (
        drifted.set_column(place, column, drifted[column].cast(kind))
        if kind
        else drifted.remove_column(place)
    )
    table = TableSpec(READINGS.name, drifted.schema, window_column="reading_date", drops=True)
    replace([Replacement(table, drifted, None)], ref="main", run_id="drift")
    outcome = score(definitions, recorded)
    assert not outcome.success
    assert said in str(outcome)
    assert snapshot() == before


def test_a_run_on_a_branch_forecasts_there(definitions: dg.Definitions, recorded: dg.DagsterInstance) -> None:
    serve(1)
    refs.create("dev")
    write_readings_of(DAYS, ref="dev", higher=50)
    assert score(definitions, recorded, ref="dev").success
    assert not read.exists("main", TABLE)
    assert read.scan("dev", TABLE)["glucose_mg_dl"].to_pylist()[-1] >= 150


MART = TableSpec(
    "gold.mrt_forecast_quality",
    pa.schema(
        [
            *(("target_date", pa.date32()), ("model_hash", pa.string()), ("answered_count", pa.int64())),
            *(("mae_mg_dl", pa.float64()), ("same_as_now_mae_mg_dl", pa.float64())),
        ]
    ),
    window_column="target_date",
)


@pytest.mark.parametrize(
    ("error", "same_as_now", "said"),
    [
        (12.0, 20.0, ""),
        (18.0, 20.0, "more than 1.5 times that on the held-out rows"),
        (15.0, 14.0, "not below that of same as now"),
    ],
)
def test_what_happened_is_compared_with_what_was_measured_and_with_same_as_now(
    error: float, same_as_now: float, said: str
) -> None:
    assert measure_recent_error("main", 7, 1.5).summary == "no model is approved"
    model = serve(1)
    assert model.metrics["mae"] == 11.0
    days = [DAY - dt.timedelta(days=n) for n in range(9)]
    mart = pa.table(
        {
            "target_date": days,
            "model_hash": [model.short] * 9,
            "answered_count": [100] * 9,
            "mae_mg_dl": [error] * 7 + [900.0, 900.0],  # the days before the last seven do not count
            "same_as_now_mae_mg_dl": [same_as_now] * 9,
        },
        schema=MART.schema,
    )
    replace([Replacement(MART, mart, None)], ref="main", run_id="mart")
    found = measure_recent_error("main", 7, 1.5)
    assert (found.wrong != "", found.numbers["mae"]) == (said != "", error)
    assert said in found.wrong


def test_readings_that_drifted_from_those_of_the_training_fail_their_check() -> None:
    assert measure_reading_drift("main").summary == "no model is approved"
    serve(1)
    assert measure_reading_drift("main").wrong == ""
    write_readings_of(BEFORE, higher=80)
    found = measure_reading_drift("main")
    assert "population stability index of glucose_mg_dl" in found.wrong
    assert "train again" in found.wrong
    assert found.numbers["psi"] > 0.25


def test_the_page_shows_each_step_with_who_starts_it_and_why() -> None:
    page = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text()
    for step in STEPS:
        who = "itself" if step.automatic else "**a person**"
        assert f"| {step.name} | {who} | {step.starts} | {step.why} |" in page
    assert {step.automatic for step in STEPS} == {True, False}


def test_each_asset_of_the_forecast_is_described_and_owned_and_says_what_starts_it() -> None:
    from forecast.definitions import defs

    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs() if spec.description}
    assert {"forecast_package", "forecast_approved_glucose", "fct_glucose_forecast"} <= specs.keys()
    for name, spec in specs.items():
        assert spec.owners, name
        assert spec.group_name, name
        if name.startswith("forecast_") and not name.startswith("forecast_approved_"):
            assert {"automation", "freshness"} <= spec.metadata.keys(), name
    table = specs["fct_glucose_forecast"].metadata["dagster/column_schema"]
    assert [column.name for column in table.columns] == list(COLUMNS)
    assert all(column.description for column in table.columns)


def test_the_table_of_the_forecast_is_none_to_retire(monkeypatch: pytest.MonkeyPatch) -> None:
    from forecast.definitions import defs

    monkeypatch.setattr("millpond.own_definitions.load_own", lambda _: defs)
    assert list_tables_without_model([TABLE, "silver.gone"]) == ["silver.gone"]
