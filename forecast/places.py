"""Where the state of a model lies in the home: checkpoints, packaged models, the lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forecast.errors import ModelAltered
from forecast.manifest import PREFIX, Manifest, read_manifest
from forecast.model_files import hash_file
from millpond.runtime.home import exclusive, layout
from millpond.settings import settings

_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Places:
    """The folders of one configuration."""

    root: Path

    @property
    def checkpoints(self) -> Path:
        """A folder for each stage, in it one for each checkpoint."""
        return self.root / "checkpoints"

    @property
    def latest(self) -> Path:
        """A file for each stage: its latest checkpoint, and those that it was made from."""
        return self.root / "latest"

    @property
    def artifacts(self) -> Path:
        """The folders `model_v<hash>` of packaged models, and of blocked ones."""
        return self.root / "artifact"

    @contextmanager
    def lock(self, doing: str) -> Iterator[None]:
        """Wait until no other process trains this model, and hold it within the block."""
        self.root.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "lock", doing=doing, timeout=_WAIT_SECONDS):
            yield


def find_places(name: str) -> Places:
    """Return the folders of the configuration `name` in the home of the settings."""
    return Places(layout(settings()).root / "forecast" / name)


def list_models(places: Places) -> list[tuple[Path, Manifest]]:
    """Return each packaged or blocked model whose manifest can be read, the latest last."""
    found = []
    for folder in sorted(places.artifacts.glob(f"{PREFIX}*"), key=lambda each: each.stat().st_mtime):
        try:
            found.append((folder, read_manifest(folder)))
        except ModelAltered:
            continue
    return found


def find_last_good(places: Places, new: str) -> Path | None:
    """Return the folder of the model to compare the one with hash `new` with; None if there is none."""
    models = list_models(places)
    good = [folder for folder, manifest in models if not manifest.blocked and manifest.hash != new]
    return good[-1] if good else None


def install_model(packaged: Path, places: Places) -> None:
    """Copy a folder `model_v<hash>` to the artifacts, at once.

    A model that is there and whole stays as it is: people may have decided about its manifest.
    """
    place = places.artifacts / packaged.name
    if is_whole(place):
        return
    places.artifacts.mkdir(parents=True, exist_ok=True)
    unfinished = places.artifacts / f".{packaged.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(packaged, unfinished)
    shutil.rmtree(place, ignore_errors=True)
    unfinished.rename(place)


def is_whole(folder: Path) -> bool:
    """Return whether a folder has a model that passed, with all of its files as they were packaged."""
    try:
        manifest = read_manifest(folder)
        return not manifest.blocked and all(
            hash_file(folder / name) == expected for name, expected in manifest.files.items()
        )
    except (ModelAltered, OSError):
        return False
