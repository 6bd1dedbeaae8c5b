"""The shipped model on the real recording: better than the baselines, the same everywhere, and verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from forecast_data import Trained, make_quick, read_readings, run_stages, write_readings

from forecast.errors import ModelAltered, TrainingUnstable
from forecast.manifest import open_model, read_manifest
from forecast.model_files import hash_file, load_model
from forecast.places import list_models
from forecast.spec import Training
from forecast.training import build_estimator, train_stable

CHECKOUT = Path(__file__).resolve().parents[2]
TRAINING = Training.model_validate({"candidates": [{"kind": "ridge"}], "seed": 1, "fallback_seed": 2})


def packaged(trained: Trained) -> Path:
    ((folder, _),) = list_models(trained.places)
    return folder


def test_the_model_is_better_than_both_baselines_on_the_held_out_weeks(trained: Trained) -> None:
    manifest = read_manifest(packaged(trained))
    assert manifest.blocked == []
    for name in ("same_as_now", "linear"):
        low, high = manifest.intervals[f"margin.{name}"]
        assert 1.0 < low < manifest.metrics[f"margin.{name}"] < high
    assert manifest.metrics["mae"] < 16
    assert manifest.metrics["clarke_ab"] > 0.97
    assert manifest.metrics["risk.brier"] < 0.85 * manifest.metrics["risk.brier_of_rate"]
    table = pq.read_table(trained.folder("evaluate") / "predictions.parquet")
    held_out = table["reading_at"].to_pylist()
    assert (max(held_out) - min(held_out)).days >= 26
    features = pq.read_table(trained.folder("features") / "features.parquet")
    trained_on = features.filter(np.array(features["part"]) != "test")["reading_at"].to_pylist()
    assert max(trained_on) < min(held_out)


def test_a_packaged_model_predicts_what_was_measured(trained: Trained) -> None:
    manifest, model = open_model(packaged(trained))
    features = pq.read_table(trained.folder("features") / "features.parquet")
    held_out = features.filter(np.array(features["part"]) == "test")
    predictions = pq.read_table(trained.folder("evaluate") / "predictions.parquet")
    assert np.array_equal(model.predict(held_out), predictions["predicted"].to_numpy())
    risk = model.predict_risk(held_out)
    assert ((risk >= 0) & (risk <= 1)).all()
    assert list(model.features) == manifest.features


def test_a_row_without_its_history_has_no_forecast(trained: Trained) -> None:
    _, model = open_model(packaged(trained))
    features = pq.read_table(trained.folder("features") / "features.parquet").slice(0, 3)
    column = features.schema.get_field_index("glucose_mg_dl_5_min_ago")
    gappy = features.set_column(column, "glucose_mg_dl_5_min_ago", [[None, 100.0, 100.0]])
    assert np.isnan(model.predict(gappy)).tolist() == [True, False, False]
    assert np.isnan(model.predict_risk(gappy)).tolist() == [True, False, False]


_ELSEWHERE = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from forecast_data import make_quick, run_stages
kinds = [dict(kind="ridge"), dict(kind="hist_gradient_boosting", parameters=dict(max_iter=20))]
root = Path(sys.argv[2])
run_stages(make_quick(Path(sys.argv[1]), training=dict(candidates=kinds)), root)
(folder,) = (root / "artifact").glob("model_v*")
print((folder / "manifest.json").read_text())
"""


def train_elsewhere(file: Path, root: Path, threads: str, zone: str) -> dict[str, Any]:
    """Train in a process of its own, as on another machine; returns the manifest."""
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    environment |= {"TZ": zone, "PYTHONHASHSEED": threads}
    folders = [str(CHECKOUT), str(Path(__file__).parent)]
    command = [sys.executable, "-c", _ELSEWHERE, str(file), str(root), *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_two_machines_with_the_same_inputs_make_the_same_manifest_and_files(tmp_path: Path) -> None:
    file = write_readings(tmp_path / "readings.csv", read_readings(3))
    one = train_elsewhere(file, tmp_path / "one", threads="1", zone="Asia/Tokyo")
    other = train_elsewhere(file, tmp_path / "far" / "other", threads="4", zone="America/Lima")
    assert one["hash"] == other["hash"]
    assert one == other
    assert set(one["files"]) == {"data_profile.json", "metrics.json", "model.skops", "risk.skops"}


@pytest.mark.slow
def test_other_data_parameters_or_seeds_make_another_model(tmp_path: Path) -> None:
    file = write_readings(tmp_path / "readings.csv", read_readings(3))
    first = run_stages(make_quick(file), tmp_path / "state", "package")
    kinds = [{"kind": "ridge", "parameters": {"alpha": 2.0}}]
    reseeded = {**first.config.training.model_dump(), "seed": 8}
    run_stages(make_quick(file, training={"candidates": kinds}), tmp_path / "state", "package")
    run_stages(make_quick(file, training=reseeded), tmp_path / "state", "package")
    write_readings(file, read_readings(3)[:-1])
    run_stages(make_quick(file), tmp_path / "state", "package")
    assert len({manifest.hash for _, manifest in list_models(first.places)}) == 4


@pytest.mark.parametrize("name", ["model.skops", "risk.skops"])
def test_a_model_file_altered_by_one_byte_is_refused(trained: Trained, tmp_path: Path, name: str) -> None:
    folder = tmp_path / packaged(trained).name
    folder.mkdir()
    for file in packaged(trained).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    open_model(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelAltered, match=name) as refused:
        open_model(folder)
    assert "nothing of the file was loaded" in refused.value.unharmed
    (folder / name).unlink()
    with pytest.raises(ModelAltered, match="it is missing"):
        open_model(folder)


@pytest.mark.parametrize(("old", "new"), [('"alpha": 1.0', '"alpha": 2.0'), ("{", ""), ('"files"', '"file"')])
def test_a_manifest_that_was_changed_is_refused(trained: Trained, tmp_path: Path, old: str, new: str) -> None:
    folder = tmp_path / packaged(trained).name
    folder.mkdir()
    text = (packaged(trained) / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new))
    with pytest.raises(ModelAltered):
        read_manifest(folder)


class Harmful:
    """What pickle would run when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo harm > harm.txt",)


def test_a_file_that_brings_code_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skops.io import dumps

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.skops"
    file.write_bytes(dumps(Harmful()))
    with pytest.raises(ModelAltered, match="types that are not trusted"):
        load_model(tmp_path, ["a"], {"model.skops": hash_file(file)})
    assert not (tmp_path / "harm.txt").exists()


class Unstable:
    """An estimator that fails with one seed, as a solver that does not converge, and not with others."""

    def __init__(self, seed: int, fails: tuple[int, ...], how: str) -> None:
        self.seed, self.fails, self.how = seed, fails, how

    def fit(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Unstable:
        if self.seed in self.fails and self.how == "raises":
            raise np.linalg.LinAlgError("singular matrix")
        self.mean = y.mean()
        return self

    def predict(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonsense = {"nan": np.nan, "far": 1e9}.get(self.how, 0.0) if self.seed in self.fails else 0.0
        return x[:, 0] + nonsense


def train_unstable(fails: tuple[int, ...], how: str) -> Any:
    x = np.random.default_rng(0).normal(size=(100, 2))
    validated = np.arange(100) >= 80
    return train_stable(lambda seed: Unstable(seed, fails, how), TRAINING, x, x[:, 0], validated)


@pytest.mark.parametrize(
    ("how", "why"), [("raises", "singular matrix"), ("nan", "not finite"), ("far", "exceeds")]
)
def test_an_unstable_seed_is_followed_by_the_fallback_seed_and_both_failing_halt(how: str, why: str) -> None:
    found = train_unstable((1,), how)
    assert (found.seed, found.mae) == (2, 0)
    assert why in found.rejected[1]
    with pytest.raises(TrainingUnstable, match="unstable with every seed") as halted:
        train_unstable((1, 2), how)
    assert halted.value.what.count(why) == 2
    assert "the model that serves" in halted.value.unharmed


def test_parameters_that_scikit_learn_refuses_halt_with_its_words() -> None:
    training = Training.model_validate({"candidates": [{"kind": "ridge", "parameters": {"alpha": -1.0}}]})
    x = np.random.default_rng(0).normal(size=(100, 2))
    candidate = training.candidates[0]
    with pytest.raises(TrainingUnstable, match="alpha"):
        train_stable(
            lambda seed: build_estimator(candidate, seed), training, x, x[:, 0], np.arange(100) >= 80
        )
