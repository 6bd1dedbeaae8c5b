"""Puts model, profile and metrics into a folder with a manifest, unless a threshold was missed."""

from __future__ import annotations

import shutil
from pathlib import Path

from forecast.code import hash_code
from forecast.errors import UNHARMED, ModelBlocked
from forecast.extra import package_versions
from forecast.features import feature_names
from forecast.manifest import Identity, Lineage, Manifest
from forecast.model_files import MODEL_FILE, RISK_FILE, hash_file
from forecast.spec import Config
from forecast.stages.evaluate import METRICS
from forecast.stages.ingest import LINEAGE, ROWS
from forecast.stages.stage import Metadata, Work, read_json
from forecast.stages.train import CHOICE
from forecast.stages.validate import PROFILE

_FILES = (("train", MODEL_FILE), ("train", RISK_FILE), ("validate", PROFILE), ("evaluate", METRICS))


def identify_model(config: Config, ingested: Path) -> Identity:
    """Return what the model of a configuration and of the rows in a folder of `ingest` is made of."""
    return Identity(
        name=config.name,
        data_hash=hash_file(ingested / ROWS),
        parameters=config.model_dump(mode="json", exclude={"name", "description"}),
        code_hash=hash_code("forecast.stages.package"),
        packages=package_versions(),
    )


def build_manifest(work: Work) -> Manifest:
    """Return the manifest of the model that the earlier stages made, without its files."""
    identity = identify_model(work.config, work.inputs["ingest"])
    evaluated = read_json(work.inputs["evaluate"] / METRICS)
    return Manifest(
        hash=identity.hash,
        identity=identity,
        lineage=Lineage.model_validate(read_json(work.inputs["ingest"] / LINEAGE)),
        features=feature_names(work.config),
        chosen=read_json(work.inputs["train"] / CHOICE),
        thresholds={name: each.model_dump() for name, each in work.config.thresholds.items()},
        **evaluated,
    )


def run(work: Work) -> Metadata:
    """Write the folder `model_v<hash>`.

    Raises ModelBlocked if a threshold was missed; the folder then holds the manifest only, with the reasons.
    """
    manifest = build_manifest(work)
    folder = work.output / manifest.folder
    folder.mkdir()
    if manifest.blocked:
        manifest.write(folder)
        raise ModelBlocked(
            f"model {manifest.short} of {manifest.name} is blocked: {'; '.join(manifest.blocked)}",
            unharmed=f"{UNHARMED}; it keeps serving",
            next_step="`millpond forecast list` shows its metrics; change data, features or thresholds, then "
            "`millpond forecast run`",
        )
    sources = [(name, work.inputs[stage] / name) for stage, name in _FILES]
    files = {name: file for name, file in sources if file.is_file()}
    for name, file in files.items():
        shutil.copyfile(file, folder / name)
    manifest = manifest.model_copy(update={"files": {name: hash_file(folder / name) for name in files}})
    manifest.write(folder)
    work.log(f"model {manifest.short} waits for approval")
    return {"model": manifest.hash, "folder": manifest.folder, "files": manifest.files, **manifest.metrics}
