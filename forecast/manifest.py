"""The manifest of a packaged model: what it was made from, its files, and how good it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from forecast.code import hash_json
from forecast.errors import UNHARMED, ModelAltered
from forecast.model_files import Model, load_model

FILE: Final = "manifest.json"
PREFIX: Final = "model_v"
SHORT: Final = 12
"""Digits of a hash in names of folders and in commands."""


class Lineage(BaseModel):
    """Where the rows come from: a snapshot of a table of the lake, or a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    ref: str | None = None
    snapshot_id: int | None = None
    rows: int
    first: str | None = None
    last: str | None = None


class Identity(BaseModel):
    """What a model is made of: the same on every machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    data_hash: str
    parameters: dict[str, Any]
    code_hash: str
    packages: dict[str, str]

    @property
    def hash(self) -> str:
        """The SHA-256 over all of it, by which the model is known."""
        return hash_json(self.model_dump(mode="json"))


class Manifest(BaseModel):
    """One model: `hash` is that of `identity`, `files` gives the SHA-256 of each file in its folder.

    `blocked` names the thresholds that it missed: such a model has no files. Nothing in it tells when or
    where it was made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hash: str
    identity: Identity
    lineage: Lineage
    features: list[str]
    chosen: dict[str, Any]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    thresholds: dict[str, dict[str, float | None]]
    blocked: list[str] = []
    files: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The configuration that it was trained with."""
        return self.identity.name

    @property
    def folder(self) -> str:
        """The name of the model's folder."""
        return f"{PREFIX}{self.short}"

    @property
    def short(self) -> str:
        """The beginning of the hash, by which commands name the model."""
        return self.hash[:SHORT]

    def write(self, folder: Path) -> None:
        """Write the manifest into the folder of its model."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in the folder of a model; raises ModelAltered if it is missing or was changed."""
    try:
        manifest = Manifest.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise _refused(folder, f"it cannot be read: {first}") from None
    if manifest.identity.hash != manifest.hash or manifest.folder != folder.name:
        raise _refused(folder, "its hash is not that of its content")
    return manifest


def open_model(folder: Path) -> tuple[Manifest, Model]:
    """Return a packaged model with its manifest, after checking each file.

    Raises ModelAltered if a file is missing or was altered, and for a model that was blocked.
    """
    manifest = read_manifest(folder)
    return manifest, load_model(folder, manifest.features, manifest.files)


def _refused(folder: Path, why: str) -> ModelAltered:
    return ModelAltered(
        f"the manifest of {folder.name} is refused: {why}",
        unharmed=f"{UNHARMED}; nothing of the folder was loaded",
        next_step="remove the folder, then `millpond forecast run` packages the model again",
    )
