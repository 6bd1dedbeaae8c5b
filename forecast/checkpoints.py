"""Checkpoints: what a stage wrote, in a folder named by the hash of all that it depends on.

A stage whose checkpoint is there and whole does not run. A folder appears at once, by a rename, when its
stage has ended; each file is verified against its SHA-256 before it is used.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from forecast.code import hash_json
from forecast.errors import UNHARMED, DataRefused
from forecast.model_files import hash_file
from forecast.pipeline import Stage
from forecast.stages.ingest import LINEAGE
from forecast.stages.stage import Metadata, Work, read_json, write_json

RECORD: Final = "checkpoint.json"
LOG: Final = "compute.log"
_NO_CONTENT: Final = frozenset({RECORD, LOG, LINEAGE})
"""Files that tell when, where or from which snapshot, not what."""
_SHORT: Final = 16
_KEPT: Final = 5
"""How many checkpoints of a stage are kept: the ones used last."""


@dataclass(frozen=True)
class Checkpoint:
    """What a stage wrote: `content` is the hash of its files, `metadata` what the stage said of its work."""

    stage: str
    key: str
    content: str
    folder: Path
    metadata: Metadata
    parameters: Mapping[str, Any]
    files: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]
    began: str
    ended: str
    reused: bool = False

    @property
    def log(self) -> str:
        """The lines that the stage logged."""
        file = self.folder / LOG
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def write_checkpoint(stage: Stage, work: Work, key: str) -> Checkpoint:
    """Run a stage into `work.output`, which is made for it, with its record and log."""
    work.output.mkdir(parents=True)
    began, lines = dt.datetime.now(dt.UTC), list[str]()

    def log(text: str) -> None:
        lines.append(f"{dt.datetime.now(dt.UTC).isoformat(timespec='milliseconds')} {text}")
        work.log(text)

    given = Work(work.config, work.inputs, work.output, work.pin, work.last_good, log)
    try:
        metadata = stage.run(given)
    finally:
        (work.output / LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = _hash_files(work.output)
    content = hash_json({name: each for name, each in files.items() if name not in _NO_CONTENT})
    record: dict[str, Any] = {
        "stage": stage.name,
        "key": key,
        "content": content,
        "metadata": metadata,
        "parameters": stage.select_parameters(work.config),
        "files": files,
        "shapes": _read_shapes(work.output),
        "began": began.isoformat(timespec="milliseconds"),
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
    }
    write_json(work.output / RECORD, record)
    return Checkpoint(folder=work.output, **record)


def read_checkpoint(folder: Path, *, reused: bool = False) -> Checkpoint | None:
    """Return the checkpoint in a folder; None if there is none, or a file of it was changed."""
    try:
        record = read_json(folder / RECORD)
        found = Checkpoint(folder=folder, reused=reused, **record)
    except (OSError, ValueError, TypeError):
        return None
    return found if _hash_files(folder) == found.files else None


def require_checkpoint(folder: Path, stage: str) -> Checkpoint:
    """Return the checkpoint in a folder; raises DataRefused if it is missing or corrupt."""
    if found := read_checkpoint(folder):
        return found
    what = "is corrupt: a file differs from its hash" if folder.exists() else "is missing"
    raise DataRefused(
        f"the checkpoint of {stage} in {folder.parent.name}/{folder.name} {what}",
        unharmed=UNHARMED,
        next_step=f"run `millpond forecast {stage}` with the same options first, or `millpond forecast run`",
    )


def find_folder(checkpoints: Path, stage: str, key: str) -> Path:
    """Return the folder of the checkpoint of a stage."""
    return checkpoints / stage / key[:_SHORT]


def obtain_checkpoint(stage: Stage, work: Work, key: str, folder: Path) -> Checkpoint:
    """Return the checkpoint of `key` below `folder`, after running the stage if it is missing or corrupt."""
    place = find_folder(folder, stage.name, key)
    if found := read_checkpoint(place, reused=True):
        os.utime(place)
        return found
    if place.exists():
        work.log(f"the checkpoint of {stage.name} is corrupt; it is made again")
        shutil.rmtree(place)
    unfinished = folder / stage.name / f".{uuid.uuid4().hex[:8]}"
    try:
        write_checkpoint(stage, _with_output(work, unfinished), key)
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _remove_old(place.parent)
    made = read_checkpoint(place)
    assert made is not None
    return made


def make_key(stage: Stage, work: Work, contents: Mapping[str, str]) -> str:
    """Return the hash of all that a stage depends on: code, parameters, the content of what it reads."""
    from forecast.extra import package_versions

    outside: list[object] = []
    if stage.name == "ingest" and work.pin:
        outside = [work.pin.place, work.pin.version]
    if stage.name == "evaluate" and work.last_good:
        outside = [work.last_good.name]
    read = {name: contents[name] for name in stage.reads}
    return hash_json(
        [
            stage.name,
            stage.hash_code(),
            stage.select_parameters(work.config),
            package_versions(),
            read,
            outside,
        ]
    )


def _with_output(work: Work, output: Path) -> Work:
    return Work(work.config, work.inputs, output, work.pin, work.last_good, work.log)


def _hash_files(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != RECORD)
    return {file.relative_to(folder).as_posix(): hash_file(file) for file in sorted(files)}


def _read_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return rows and columns of each Parquet file."""
    found = {file.name: pq.read_metadata(file) for file in sorted(folder.glob("*.parquet"))}
    return {name: (each.num_rows, each.num_columns) for name, each in found.items()}


def _remove_old(folder: Path) -> None:
    found = sorted((each for each in folder.iterdir() if not each.name.startswith(".")), key=_used_at)
    for each in found[:-_KEPT]:
        shutil.rmtree(each, ignore_errors=True)


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()
