"""Stages as assets: one run of Dagster with all that it records; and as commands, from folder to folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.data_version import extract_data_version_from_entry
from forecast_data import read_readings
from packaged_models import READINGS

from forecast import extra
from forecast.assets import build_stage_assets, stage_key, training
from forecast.errors import DataRefused, ModelBlocked
from forecast.extra import require_extra
from forecast.pipeline import NAMES
from forecast.places import find_places, list_models
from forecast.recorded_runs import run_recorded
from forecast.run_stages import read_unchanged
from forecast.spec import read_config
from millpond.errors import ConfigError
from millpond.lake import read
from millpond.lake.spec import Replacement
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import Settings
from typed_commands import Run

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = read_config("glucose")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return dg.Definitions(assets=build_stage_assets(), jobs=[training])


def write_recording(weeks: int) -> None:
    """Write the last weeks of the real readings to the lake's table."""
    rows = [(f"{at:%m%d%H%M%S}", at, at.date(), at.hour, value) for at, value in read_readings(weeks)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    table = pa.table(dict(zip(READINGS.schema.names, columns, strict=True)), schema=READINGS.schema)
    window = Window.of_days(rows[0][2], rows[-1][2])
    replace([Replacement(READINGS, table, window)], ref="main", run_id="readings")


@pytest.fixture
def readings(home: Home) -> None:
    shutil.rmtree(find_places("glucose").root, ignore_errors=True)
    write_recording(4)


def train(definitions: dg.Definitions) -> list[str]:
    lines: list[str] = []
    run_recorded(CONFIG, "main", lines.append, definitions)
    return lines


def materialized(instance: dg.DagsterInstance, stage: str) -> dg.EventLogEntry:
    entry = instance.get_latest_materialization_event(stage_key(stage))
    assert entry is not None
    return entry


def test_a_training_is_a_run_with_metadata_and_versions_and_the_next_one_uses_its_checkpoints(
    readings: None, recorded: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    lines = train(definitions)
    assert any("waits for approval" in line for line in lines)
    versions = {}
    for name in NAMES:
        entry = materialized(recorded, name)
        made = entry.asset_materialization
        assert made is not None
        assert made.partition == "glucose"
        metadata = {key: value.value for key, value in made.metadata.items()}
        assert metadata["compute_log"].count("\n") >= 2
        assert metadata["began"] <= metadata["ended"] <= time.time()
        assert metadata["reused"] is False
        assert set(metadata["artifacts"]) >= {
            file.name for file in Path(metadata["checkpoint"]).glob("*.parquet")
        }
        assert metadata["parameters"]
        versions[name] = extract_data_version_from_entry(entry)
    ((_, manifest),) = list_models(find_places("glucose"))
    table = read.load_table("main", "silver.fct_glucose_readings")
    assert manifest.lineage.snapshot_id == table.metadata.current_snapshot_id
    assert manifest.lineage.rows == len(read_readings(4))
    began = time.perf_counter()
    assert read_unchanged(CONFIG, find_places("glucose"), "main") is not None
    assert time.perf_counter() - began < 5
    train(definitions)
    for name in NAMES:
        entry = materialized(recorded, name)
        assert entry.asset_materialization is not None
        assert entry.asset_materialization.metadata["reused"].value is True
        assert extract_data_version_from_entry(entry) == versions[name]


def test_a_stage_that_fails_fails_the_run_with_its_own_error_and_the_others_wait(
    home: Home, recorded: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    shutil.rmtree(find_places("glucose").root, ignore_errors=True)
    write_recording(1)
    with pytest.raises(DataRefused, match="fewer than min_rows, 2,000"):
        train(definitions)
    (run,) = recorded.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert recorded.get_latest_materialization_event(stage_key("ingest")) is not None
    assert recorded.get_latest_materialization_event(stage_key("validate")) is None


def test_a_blocked_model_fails_the_run_and_is_listed_as_blocked(
    readings: None, recorded: dg.DagsterInstance, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = CONFIG.model_copy(
        update={"thresholds": {"mae": CONFIG.thresholds["mae"].model_copy(update={"max": 1})}}
    )
    monkeypatch.setattr("forecast.assets.read_config", lambda _: strict)
    with pytest.raises(ModelBlocked, match=r"mae is .*, above 1"):
        train(definitions)
    ((_, manifest),) = list_models(find_places("glucose"))
    assert manifest.blocked
    assert recorded.get_latest_materialization_event(stage_key("evaluate")) is not None
    assert recorded.get_latest_materialization_event(stage_key("package")) is None


def test_definitions_load_without_the_packages_that_train() -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import forecast.definitions, forecast.cli\n"
        "print([name for name in ('sklearn', 'skops', 'scipy', 'pyiceberg', 'dlt') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "skops" else object())
    with pytest.raises(ConfigError, match="not installed: skops") as refused:
        require_extra()
    assert "millpond[forecast]" in refused.value.next_step


@pytest.fixture
def command(tmp_path: Path, configure: Callable[..., Settings], run_as_typed: Run) -> Run:
    """A function that runs `millpond forecast` in a project that has it."""
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\ncommands = ["forecast.cli"]\n')
    for name in ("dbt", "sources"):
        (tmp_path / name).mkdir()
    (tmp_path / "forecast").symlink_to(CHECKOUT / "forecast")
    configure(project=tmp_path)
    return lambda *arguments: run_as_typed("forecast", *arguments)


def test_stages_are_commands_from_folder_to_folder_with_exit_codes(command: Run, tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    for name in NAMES:
        code, out, err = command(name, "-c", "penguins", "--input", work, "--output", work)
        assert (code, err) == (0, "")
        assert f"{name}: done" in out
        assert (tmp_path / "work" / name / "checkpoint.json").is_file()
    assert list((tmp_path / "work" / "package").glob("model_v*/manifest.json"))
    (tmp_path / "work" / "features" / "features.parquet").unlink()
    code, _, err = command("train", "-c", "penguins", "-i", work)
    assert code == 1
    assert "Next: run `millpond forecast features`" in err
    assert command("train", "-c", "nothing")[0] == 2
    assert command("fly")[0] == 2


def test_a_stage_by_itself_uses_the_checkpoints_of_the_home(command: Run) -> None:
    shutil.rmtree(find_places("penguins").root, ignore_errors=True)
    code, _, err = command("validate", "-c", "penguins")
    assert (code, "`millpond forecast ingest`" in err) == (1, True)
    for name in NAMES:
        assert command(name, "-c", "penguins")[0] == 0
    assert "ingest: unchanged" in command("ingest", "-c", "penguins")[1]
    code, out, _ = command("run", "-c", "penguins")
    assert (code, "nothing changed: no stage ran" in out) == (0, True)
    told = json.loads(command("run", "-c", "penguins", "--json")[1])
    assert (told["ran"], told["run_id"]) == (False, None)
    assert told["model"].startswith("model_v")
    stage = json.loads(command("train", "-c", "penguins", "--json")[1])
    assert (stage["stage"], stage["reused"]) == ("train", True)
    listed = json.loads(command("list", "-c", "penguins", "--json")[1])
    assert [each["state"] for each in listed] == ["waiting"]
