"""Copies files of the lake into a backup, each with its checksum, and those only that are not there yet."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.backup.lake_files import LakeFiles
from millpond.backup.record import StoredFile, name_data, open_private, parse_lines
from millpond.errors import BackupFailed, BackupRefused

if TYPE_CHECKING:
    from millpond.backup.create import Report

_JOURNAL = "copied.jsonl"
_CHUNK = 4 << 20
_PARALLEL = 4
_REPORT_EVERY = 500
_SPARE = 64 << 20
"""Bytes that are left for the dumps of the databases and for the file system."""


def copy_file(read: Callable[[int], bytes] | None, target: Path, folder: Path) -> StoredFile:
    """Copy a file to `target` in `folder` as `read` gives it; without `read`, describe what is there."""
    digest, size = hashlib.sha256(), 0
    if read is None:
        with target.open("rb") as there:
            while chunk := there.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    else:
        unfinished = target.with_name(f".{target.name}.partial")
        with open_private(unfinished) as out:
            while chunk := read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        unfinished.replace(target)
    return StoredFile(target.relative_to(folder).as_posix(), size, digest.hexdigest())


class Copies:
    """The lake's files in a backup's folder; `known` are those that the backup before has, by path."""

    def __init__(self, folder: Path, warehouse: str, known: Mapping[str, StoredFile]) -> None:
        self._folder, self._prefix = folder, f"{warehouse}/"
        self._data = name_data(warehouse)
        self._journal = folder / self._data / _JOURNAL
        self._journal.parent.mkdir(mode=0o700, exist_ok=True)
        self._known = {**known, **self._read_journal()}
        self._guard = threading.Lock()
        self.copied_files = self.copied_bytes = self.outside = 0

    def require_room(self, io: PyArrowFileIO, files: LakeFiles) -> None:
        """Raise BackupRefused if the disk has less room than the files take that are to be copied."""
        wanted = {**files.former, **files.needed}
        missing = [location for location in wanted if self._find(location) is None]
        needed = _SPARE + sum(wanted[location] or _get_size(io, location) for location in missing)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise BackupRefused(
                f"{self._folder} has room for {free / 1e6:.0f} MB; the backup needs {needed / 1e6:.0f} MB",
                next_step="name a folder on a larger disk",
            )

    def copy(self, io: PyArrowFileIO, files: LakeFiles, report: Report) -> list[StoredFile]:
        """Copy what is missing; returns every file. Raises BackupFailed if a needed one cannot be read."""
        wanted = sorted({**files.former, **files.needed})
        inside = [location for location in wanted if location.startswith(self._prefix)]
        self.outside = len(wanted) - len(inside)
        stored: list[StoredFile] = []
        with ThreadPoolExecutor(_PARALLEL, "backup") as pool:
            copied = pool.map(lambda one: self._copy(io, one, needed=one in files.needed), inside)
            for number, file in enumerate(copied, 1):
                if file:
                    stored.append(file)
                if number % _REPORT_EVERY == 0 or number == len(inside):
                    report(f"{number} of {len(inside)} files, {self.copied_bytes / 1e6:.1f} MB copied")
        return stored

    @staticmethod
    def remove_others(folder: Path, kept: set[str]) -> None:
        """Remove the lake's files that are not in `kept`, and the journal of an interrupted backup."""
        for data in folder.glob("data-*"):
            for path in data.rglob("*"):
                if path.is_file() and path.relative_to(folder).as_posix() not in kept:
                    path.unlink()

    def _copy(self, io: PyArrowFileIO, location: str, *, needed: bool) -> StoredFile | None:
        if known := self._find(location):
            return known
        target = self._folder / self._path(location)
        try:
            with io.new_input(location).open() as source:
                stored = copy_file(source.read, target, self._folder)
        except FileNotFoundError as error:
            if not needed:  # swept since it was found
                return None
            raise _cannot_copy(location, "it is gone") from error
        except OSError as error:
            raise _cannot_copy(location, str(error)) from error
        with self._guard:
            self.copied_files += 1
            self.copied_bytes += stored.size
            with self._journal.open("ab") as journal:
                journal.write(json.dumps(asdict(stored)).encode() + b"\n")
        return stored

    def _find(self, location: str) -> StoredFile | None:
        """Return a file that was copied before, if it still has its size."""
        known = self._known.get(self._path(location))
        if known is None:
            return None
        try:
            return known if (self._folder / known.path).stat().st_size == known.size else None
        except FileNotFoundError:
            return None

    def _path(self, location: str) -> str:
        return f"{self._data}/{location.removeprefix(self._prefix)}"

    def _read_journal(self) -> dict[str, StoredFile]:
        """Return what an interrupted backup had copied."""
        try:
            return {file.path: file for file in parse_lines(self._journal.read_bytes())}
        except FileNotFoundError:
            return {}


def _get_size(io: PyArrowFileIO, location: str) -> int:
    try:
        return len(io.new_input(location))
    except FileNotFoundError:
        return 0


def _cannot_copy(location: str, why: str) -> BackupFailed:
    return BackupFailed(
        f"the backup is incomplete: {location} cannot be copied: {why}",
        unharmed="the home, and the backup before",
        next_step="fix the cause and repeat the command; it continues where it stopped",
    )
