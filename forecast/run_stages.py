"""Runs what is due of the stages, in the home of the settings or from folder to folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from forecast.checkpoints import (
    Checkpoint,
    find_folder,
    make_key,
    obtain_checkpoint,
    read_checkpoint,
    require_checkpoint,
    write_checkpoint,
)
from forecast.errors import ModelBlocked
from forecast.manifest import PREFIX
from forecast.pipeline import NAMES, STAGES, Stage
from forecast.places import Places, find_last_good, install_model, is_whole
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
    """Run one stage if it is due, on the latest checkpoints of those before; returns its checkpoint.

    Raises DataRefused if one of those is missing or corrupt, and what the stage raises.
    """
    with places.lock(f"{stage.name} of the model {config.name}"):
        keys = _read_latest(stage, places)
        folders = {name: find_folder(places.checkpoints, name, keys.get(name, "-")) for name in stage.reads}
        before = {name: require_checkpoint(folder, name) for name, folder in folders.items()}
        ingested = find_folder(places.checkpoints, "ingest", keys.get("ingest", "-"))
        work, key = _prepare(stage, config, before, ingested, places, ref, log)
        try:
            found = obtain_checkpoint(stage, work, key, places.checkpoints)
        except ModelBlocked:
            _install_blocked(work, places)
            raise
        if stage.name == "package":
            install_model(_find_packaged(found), places)
        _note_latest(stage, {**keys, stage.name: found.folder.name}, places)
        return found


def read_unchanged(config: Config, places: Places, ref: str) -> list[Checkpoint] | None:
    """Return the checkpoints of all stages if none of them is due, else None."""
    with places.lock(f"looking for what is due of the model {config.name}"):
        found: dict[str, Checkpoint] = {}
        for stage in STAGES:
            before = {name: found[name] for name in stage.reads}
            ingested = found["ingest"].folder if found else Path()
            _, key = _prepare(stage, config, before, ingested, places, ref, lambda _: None)
            checkpoint = read_checkpoint(find_folder(places.checkpoints, stage.name, key), reused=True)
            if checkpoint is None:
                return None
            found[stage.name] = checkpoint
        if not is_whole(places.artifacts / _find_packaged(found["package"]).name):
            return None
        keys: dict[str, str] = {}
        for stage in STAGES:
            keys[stage.name] = found[stage.name].folder.name
            _note_latest(stage, keys, places)
        return list(found.values())


def run_between(stage: Stage, config: Config, given: Path, output: Path, ref: str, log: Log) -> Checkpoint:
    """Run one stage on the folders of earlier stages in `given`; writes its own folder in `output`.

    Raises DataRefused if a folder that it reads is missing or corrupt, and what the stage raises.
    """
    inputs = {name: require_checkpoint(given / name, name).folder for name in stage.reads}
    pin = pin_source(config, ref) if stage.name == "ingest" else None
    place = output / stage.name
    shutil.rmtree(place, ignore_errors=True)
    return write_checkpoint(stage, Work(config, inputs, place, pin, log=log), key="")


def _prepare(
    stage: Stage,
    config: Config,
    before: Mapping[str, Checkpoint],
    ingested: Path,
    places: Places,
    ref: str,
    log: Log,
) -> tuple[Work, str]:
    pin = pin_source(config, ref) if stage.name == "ingest" else None
    compared = None
    if stage.name == "evaluate":
        compared = find_last_good(places, identify_model(config, ingested).hash)
    inputs = {name: each.folder for name, each in before.items()}
    work = Work(config, inputs, places.checkpoints, pin, compared, log)
    return work, make_key(stage, work, {name: each.content for name, each in before.items()})


def _read_latest(stage: Stage, places: Places) -> dict[str, str]:
    """Return the key of the latest checkpoint of the stage before, and of those that it was made from."""
    number = NAMES.index(stage.name)
    file = places.latest / f"{NAMES[number - 1]}.json"
    keys: dict[str, str] = read_json(file) if number and file.is_file() else {}
    return keys


def _note_latest(stage: Stage, keys: Mapping[str, str], places: Places) -> None:
    places.latest.mkdir(exist_ok=True)
    write_json(places.latest / f"{stage.name}.json", keys)


def _find_packaged(package: Checkpoint) -> Path:
    return next(package.folder.glob(f"{PREFIX}*"))


def _install_blocked(work: Work, places: Places) -> None:
    """Write the manifest of a blocked model, unless the same model passed before, and may serve."""
    manifest = build_manifest(work)
    folder = places.artifacts / manifest.folder
    if is_whole(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder)
