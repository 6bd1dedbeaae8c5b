"""Runs what is due of the stages, in the home of the settings or from folder to folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from forecast.checkpoints import (
    Checkpoint,
    make_key,
    obtain_checkpoint,
    require_checkpoint,
    write_checkpoint,
)
from forecast.errors import ModelBlocked
from forecast.manifest import PREFIX
from forecast.pipeline import NAMES, STAGES, Stage
from forecast.places import Places, find_last_good, install_model
from forecast.source_rows import pin_source
from forecast.spec import Config
from forecast.stages.package import build_manifest, identify_model
from forecast.stages.stage import Work, read_json, write_json

Log = Callable[[str], None]


def run_due(config: Config, places: Places, ref: str, log: Log, until: str = NAMES[-1]) -> list[Checkpoint]:
    """Run the stages up to `until` whose inputs, parameters or code changed; returns the checkpoint of each.

    Waits for another training of the same configuration. Raises what the stages raise.
    """
    due = STAGES[: NAMES.index(until) + 1]
    return [run_stage(stage, config, places, ref, log) for stage in due]


def run_stage(stage: Stage, config: Config, places: Places, ref: str, log: Log) -> Checkpoint:
    """Run one stage if it is due, on the latest checkpoints of those before; returns its checkpoint."""
    with places.lock(f"{stage.name} of the model {config.name}"):
        keys = _read_keys(stage, places)
        before = _read_latest(stage, keys, places)
        work = Work(
            config,
            {name: each.folder for name, each in before.items()},
            places.checkpoints,
            pin_source(config, ref) if stage.name == "ingest" else None,
            _find_compared(stage, config, keys, places),
            log,
        )
        key = make_key(stage, work, {name: each.content for name, each in before.items()})
        try:
            found = obtain_checkpoint(stage, work, key, places.checkpoints)
        except ModelBlocked:
            _install_blocked(work, places)
            raise
        if stage.name == "package":
            install_model(next(found.folder.glob(f"{PREFIX}*")), places)
        places.latest.mkdir(exist_ok=True)
        write_json(places.latest / f"{stage.name}.json", {**keys, stage.name: found.folder.name})
        return found


def run_between(stage: Stage, config: Config, given: Path, output: Path, ref: str, log: Log) -> Checkpoint:
    """Run one stage on the folders of earlier stages in `given`; writes its own folder in `output`.

    Raises DataRefused if a folder that it reads is missing or corrupt.
    """
    for name in stage.reads:
        require_checkpoint(given / name, name)
    inputs = {name: given / name for name in stage.reads}
    pin = pin_source(config, ref) if stage.name == "ingest" else None
    place = output / stage.name
    shutil.rmtree(place, ignore_errors=True)
    return write_checkpoint(stage, Work(config, inputs, place, pin, log=log), key="")


def _read_keys(stage: Stage, places: Places) -> dict[str, str]:
    """Return the folders of the latest checkpoint of the stage before, and of those that it was made from."""
    number = NAMES.index(stage.name)
    file = places.latest / f"{NAMES[number - 1]}.json"
    keys: dict[str, str] = read_json(file) if number and file.is_file() else {}
    return keys


def _read_latest(stage: Stage, keys: dict[str, str], places: Places) -> dict[str, Checkpoint]:
    folders = {name: places.checkpoints / name / keys.get(name, "-") for name in stage.reads}
    return {name: require_checkpoint(folder, name) for name, folder in folders.items()}


def _find_compared(stage: Stage, config: Config, keys: dict[str, str], places: Places) -> Path | None:
    if stage.name != "evaluate":
        return None
    ingested = places.checkpoints / "ingest" / keys.get("ingest", "-")
    return find_last_good(places, identify_model(config, ingested).hash)


def _install_blocked(work: Work, places: Places) -> None:
    manifest = build_manifest(work)
    folder = places.artifacts / manifest.folder
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder)
