"""Stages run when something they depend on changed; data and models that do not fit are refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from forecast_data import Reading, Trained, make_quick, read_readings, run_stages, write_readings

from forecast.checkpoints import RECORD
from forecast.errors import DataRefused, ModelBlocked
from forecast.manifest import read_manifest
from forecast.pipeline import NAMES, STAGES
from forecast.places import Places, list_models
from forecast.run_stages import read_unchanged, run_between
from forecast.spec import Config, read_config

WEEKS = 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_readings(tmp_path / "readings.csv", read_readings(WEEKS))


@pytest.fixture
def first(file: Path, tmp_path: Path) -> Trained:
    return run_stages(make_quick(file), tmp_path / "state")


def ran(trained: Trained) -> list[str]:
    return [name for name, found in trained.done.items() if not found.reused]


def artifacts(trained: Trained) -> list[str]:
    return sorted(each.name for each in trained.places.artifacts.iterdir())


@pytest.mark.slow
def test_with_nothing_changed_no_stage_runs(first: Trained) -> None:
    assert ran(first) == list(NAMES)
    found = read_unchanged(first.config, first.places, "main")
    assert found is not None
    assert [each.content for each in found] == [each.content for each in first.done.values()]
    assert ran(run_stages(first.config, first.places.root)) == []


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({"thresholds": {"mae": {"max": 99}}}, ["evaluate", "package", "report"]),
        ({"training": {"seed": 3}}, ["train", "evaluate", "package", "report"]),
        ({"risk": None}, ["train", "evaluate", "package", "report"]),
        ({"description": "another"}, ["package", "report"]),
        ({"split": {"by": "time", "test_share": 0.3}}, list(NAMES[2:])),
        ({"tolerance_minutes": 2.4}, ["features", *NAMES[4:]]),  # which gives the same features
        (
            {"source": {"max_bad_share": 0.2}},
            ["ingest", "validate", "features", "evaluate", "package", "report"],
        ),
    ],
)
def test_a_changed_parameter_runs_its_stage_and_what_follows(
    first: Trained, file: Path, changes: dict[str, Any], due: list[str]
) -> None:
    if "training" in changes:
        changes = {"training": {**first.config.training.model_dump(), **changes["training"]}}
    config = make_quick(file, **changes)
    assert read_unchanged(config, first.places, "main") is None
    assert ran(run_stages(config, first.places.root)) == due


def test_new_rows_run_every_stage_and_the_former_model_stays(first: Trained, file: Path) -> None:
    (before,) = artifacts(first)
    write_readings(file, read_readings(WEEKS)[:-100])
    assert ran(run_stages(first.config, first.places.root)) == list(NAMES)
    assert before in artifacts(first)
    assert len(artifacts(first)) == 2


def test_rows_that_are_loaded_again_unchanged_run_no_stage_but_the_copy(first: Trained, file: Path) -> None:
    write_readings(file, reversed(read_readings(WEEKS)))
    assert ran(run_stages(first.config, first.places.root)) == ["ingest"]


@pytest.mark.parametrize("stage", NAMES)
def test_a_corrupt_checkpoint_is_made_again_the_same(first: Trained, stage: str) -> None:
    folder = first.folder(stage)
    largest = max(
        (each for each in folder.rglob("*") if each.name != RECORD), key=lambda each: each.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.write_bytes(content)
    again = run_stages(first.config, first.places.root)
    assert ran(again) == [stage]
    assert f"the checkpoint of {stage} is corrupt; it is made again" in again.lines
    assert again.done[stage].content == first.done[stage].content


def test_a_stage_that_was_killed_leaves_no_checkpoint(first: Trained) -> None:
    shutil.rmtree(first.folder("train"))
    (first.folder("train").parent / ".half").mkdir()
    assert ran(run_stages(first.config, first.places.root)) == ["train"]


def test_a_removed_artifact_is_packaged_again(first: Trained) -> None:
    (name,) = artifacts(first)
    shutil.rmtree(first.places.artifacts / name)
    assert read_unchanged(first.config, first.places, "main") is None
    run_stages(first.config, first.places.root)
    assert artifacts(first) == [name]


def test_old_checkpoints_go_and_the_latest_stay(first: Trained, file: Path) -> None:
    for share in range(10, 17):
        done = run_stages(
            make_quick(file, source={"max_bad_share": share / 100}), first.places.root, "validate"
        )
    assert len(list(first.folder("validate").parent.iterdir())) == 5
    assert done.folder("validate").exists()


def test_two_trainings_at_once_wait_for_each_other_and_make_one_model(file: Path, tmp_path: Path) -> None:
    found: list[Trained] = []
    threads = [
        threading.Thread(target=lambda: found.append(run_stages(make_quick(file), tmp_path / "state")))
        for _ in range(2)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 2
    assert sorted(ran(found[0]) + ran(found[1])) == sorted(NAMES)
    assert len(artifacts(found[0])) == 1


def test_stages_run_from_folder_to_folder(file: Path, first: Trained, tmp_path: Path) -> None:
    work, config = tmp_path / "work", make_quick(file)
    for stage in STAGES:
        run_between(stage, config, work, work, "main", lambda _: None)
    (packaged,) = (work / "package").glob("model_v*")
    assert [packaged.name] == artifacts(first)
    (work / "features" / "features.parquet").write_bytes(b"")
    with pytest.raises(DataRefused, match=r"features.* is corrupt") as refused:
        run_between(STAGES[3], config, work, tmp_path / "other", "main", lambda _: None)
    assert "`millpond forecast features`" in refused.value.next_step
    with pytest.raises(DataRefused, match=r"ingest.* is missing"):
        run_between(STAGES[1], config, tmp_path / "nowhere", work, "main", lambda _: None)


def test_each_checkpoint_records_log_times_shapes_parameters_and_files(first: Trained) -> None:
    for name, found in first.done.items():
        assert found.log.count("\n") >= 1, name
        assert dt.datetime.fromisoformat(found.began) <= dt.datetime.fromisoformat(found.ended)
        assert found.files
        assert found.parameters
    rows, columns = first.done["features"].shapes["features.parquet"]
    assert rows == first.done["features"].metadata["rows"]
    assert columns == 1 + len(first.done["features"].metadata["features"]) + 4


Change = Callable[[list[Reading]], list[tuple[dt.datetime, Any]]]


def refuse(tmp_path: Path, change: Change, stage: str, **changes: Any) -> DataRefused:
    """Train a good model, then once more on changed rows; returns the error, after a look at what it left."""
    good = run_stages(
        make_quick(write_readings(tmp_path / "readings.csv", read_readings(WEEKS))), tmp_path / "state"
    )
    before = artifacts(good)
    write_readings(tmp_path / "readings.csv", change(read_readings(WEEKS)))
    with pytest.raises(DataRefused) as refused:
        run_stages(make_quick(tmp_path / "readings.csv", **changes), tmp_path / "state")
    assert artifacts(good) == before
    assert good.done["train"].folder.exists()
    assert "the model that serves" in refused.value.unharmed
    assert refused.value.next_step
    latest = json.loads((good.places.latest / f"{stage}.json").read_bytes())
    assert latest[stage] == good.folder(stage).name
    return refused.value


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    error = refuse(tmp_path, lambda rows: rows[:300], "validate")
    assert "there are 300 good rows, fewer than min_rows, 500" in error.what


def test_a_column_of_one_value_is_refused(tmp_path: Path) -> None:
    error = refuse(tmp_path, lambda rows: [(at, 100) for at, _ in rows], "validate")
    assert "all rows have one value in glucose_mg_dl" in error.what


def test_texts_among_the_numbers_are_a_drifted_schema(tmp_path: Path) -> None:
    error = refuse(
        tmp_path,
        lambda rows: [(at, "LOW") if n == 5 else (at, v) for n, (at, v) in enumerate(rows)],
        "validate",
    )
    assert "glucose_mg_dl is string, not a number" in error.what


def test_a_missing_column_is_a_drifted_schema(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("hour_of_day", "hour", 1))
    with pytest.raises(DataRefused, match="hour_of_day is missing") as refused:
        run_stages(make_quick(file), tmp_path / "state")
    assert "the schema is not the declared one" in refused.value.what


def test_many_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    error = refuse(
        tmp_path,
        lambda rows: [(at, ("nan", "inf", v, v)[n % 4]) for n, (at, v) in enumerate(rows)],
        "validate",
    )
    assert "50.0% of the rows are bad" in error.what
    assert "because glucose_mg_dl is infinite" in error.what
    assert "because glucose_mg_dl is not a number" in error.what


def test_a_few_are_quarantined_and_the_others_trained_on(tmp_path: Path) -> None:
    spoiled = [
        (at, ("nan", "inf", "-inf", "")[n % 4] if n % 97 == 0 else v)
        for n, (at, v) in enumerate(read_readings(WEEKS))
    ]
    done = run_stages(make_quick(write_readings(tmp_path / "readings.csv", spoiled)), tmp_path / "state")
    bad = pq.read_table(done.folder("features") / "quarantine.parquet")
    assert bad.num_rows == sum(1 for n in range(len(spoiled)) if n % 97 == 0)
    assert {"glucose_mg_dl is infinite", "glucose_mg_dl is not a number", "glucose_mg_dl is null"} == set(
        bad["reason"].to_pylist()
    )
    summary = (done.folder("validate") / "validation_summary.md").read_text()
    assert f"{bad.num_rows:,} rows are quarantined" in summary


def test_a_target_that_leaks_is_refused(tmp_path: Path) -> None:
    rows = read_readings(WEEKS)
    later = dict(rows)
    file = tmp_path / "readings.csv"
    lines = [
        f"{at:%Y-%m-%d %H:%M:%S}Z,{value},{later.get(at + dt.timedelta(minutes=30), value) / 10}\n"
        for at, value in rows
    ]
    file.write_text("reading_at,glucose_mg_dl,hour_of_day\n" + "".join(lines))
    declared = make_quick(file).model_dump()
    declared["columns"]["hour_of_day"] = {"type": "number"}
    declared["features"] = [
        {"column": "glucose_mg_dl"},
        {"lag": "glucose_mg_dl", "minutes": [15]},
        {"column": "hour_of_day"},
    ]
    with pytest.raises(DataRefused, match="the feature hour_of_day of glucose leaks the target") as refused:
        run_stages(Config.model_validate(declared), tmp_path / "state")
    assert "leave it out of `features`" in refused.value.next_step


def test_a_model_below_a_threshold_is_blocked_and_the_last_good_one_stays(first: Trained, file: Path) -> None:
    (good,) = artifacts(first)
    with pytest.raises(ModelBlocked, match=r"mae is .*, above 5") as blocked:
        run_stages(make_quick(file, thresholds={"mae": {"max": 5}}), first.places.root)
    assert "it keeps serving" in blocked.value.unharmed
    (name,) = set(artifacts(first)) - {good}
    manifest = read_manifest(first.places.artifacts / name)
    assert (len(manifest.blocked), manifest.files) == (1, {})
    assert [each.name for each in (first.places.artifacts / name).iterdir()] == ["manifest.json"]
    with pytest.raises(ModelBlocked):
        run_stages(make_quick(file, thresholds={"mae": {"max": 5}}), first.places.root)


def test_drift_since_the_last_good_model_blocks_the_next_one(first: Trained, file: Path) -> None:
    write_readings(file, [(at, min(value * 2, 600)) for at, value in read_readings(WEEKS)])
    bounds = {"drift.psi": {"max": 0.25}, "drift.ks": {"max": 0.2}}
    with pytest.raises(ModelBlocked, match=r"drift.psi is .*, above 0.25.*drift.ks is .*, above 0.2"):
        run_stages(make_quick(file, thresholds=bounds, risk=None), first.places.root)
    assert len([manifest for _, manifest in list_models(first.places) if not manifest.blocked]) == 1


@pytest.mark.parametrize("bounds", [{}, {"drift.psi": {"max": 0.25}}], ids=["passed", "blocked"])
def test_a_model_that_is_measured_again_beside_another_one_stays_as_people_approved_it(
    file: Path, tmp_path: Path, bounds: dict[str, Any]
) -> None:
    config = make_quick(file, thresholds=bounds)
    first = run_stages(config, tmp_path / "state")
    (approved,) = first.places.artifacts.iterdir()
    before = {each.name: each.read_bytes() for each in approved.iterdir()}
    write_readings(file, [(at, min(value * 2, 600)) for at, value in read_readings(WEEKS)])
    run_stages(make_quick(file, risk=None), tmp_path / "state")
    write_readings(file, read_readings(WEEKS))
    with pytest.raises(ModelBlocked, match=r"drift.psi") if bounds else nullcontext():
        run_stages(config, tmp_path / "state")
    assert {each.name: each.read_bytes() for each in approved.iterdir()} == before


def test_the_second_example_runs_through_the_same_stages(tmp_path: Path) -> None:
    done = run_stages(read_config("penguins"), tmp_path)
    ((_, manifest),) = list_models(Places(tmp_path))
    assert done.done["validate"].metadata["reasons"] == {"bill_length_mm is null": 2}
    assert manifest.metrics["mae"] < 350
    assert manifest.metrics["r2"] > 0.7
    assert manifest.intervals["margin.mean"][0] > 250
    assert manifest.lineage.place == "penguins.csv"
    assert "drift.psi" not in manifest.metrics
    assert ran(run_stages(read_config("penguins"), tmp_path)) == []
