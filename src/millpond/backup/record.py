"""What a backup's folder holds: a record of what was backed up, and the list of its files with checksums.

The record is replaced last. A backup that was interrupted is therefore never taken for a complete one, and
the one before it stays as it is.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from millpond.errors import BackupDamaged, BackupRefused

FORMAT = 1
"""Version of the layout; a release restores those up to its own."""
_RECORD = "backup.json"
_LIST = "files.jsonl"


class TableContent(BaseModel):
    """A version of a table: where its metadata was, its rows, and a hash of them; None where unknown."""

    model_config = ConfigDict(frozen=True)

    name: str
    ref: str
    metadata: str
    rows: int | None
    hash: str | None


class Record(BaseModel):
    """What was backed up, and what a restored copy must equal.

    `home` is the same for a home and what was restored from it. `rows` has the rows of each table in
    Postgres by database, `marts` a hash of each mart's rows. `outside` counts files of tables that are not
    in the warehouse and were not copied.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    id: str
    millpond: str
    created_at: dt.datetime
    profile: str
    catalog: str
    timezone: str
    home: str
    warehouse: str
    with_data: bool
    versions: dict[str, int]
    rows: dict[str, dict[str, int]]
    marts: dict[str, str]
    tables: list[TableContent]
    files: int
    bytes: int
    outside: int
    list_sha256: str

    @property
    def state(self) -> str:
        """Name of the folder with the databases and the other parts' state."""
        return f"state-{self.id}"

    @property
    def data(self) -> str:
        """Name of the folder with the files of the lake."""
        return name_data(self.warehouse)

    @property
    def lake_rows(self) -> int:
        """Rows of all tables of main."""
        return sum(table.rows or 0 for table in self.tables if table.ref == "main")


@dataclass(frozen=True)
class StoredFile:
    """A file by its path in the backup; without a checksum, one of the lake that stayed where it is."""

    path: str
    size: int
    sha256: str | None


def name_data(warehouse: str) -> str:
    """Return the name of the folder with the files of the lake, which never change.

    The backup before shares it, unless its warehouse was elsewhere: its metadata then has other content.
    """
    return f"data-{hashlib.sha256(warehouse.encode()).hexdigest()[:12]}"


def installed_version() -> str:
    """Return the version of Millpond."""
    return metadata.version("millpond")


def read_record(folder: Path) -> Record:
    """Return the record of the backup in `folder`.

    Raises BackupRefused if there is no complete one, or if a newer release made it; BackupDamaged.
    """
    found = find_record(folder)
    if found is None:
        raise BackupRefused(
            f"there is no complete backup in {folder}",
            next_step="name the folder that `millpond backup` wrote to",
        )
    return found


def find_record(folder: Path) -> Record | None:
    """Return the record of the complete backup in `folder`, None if there is none. See `read_record`."""
    path = folder / _RECORD
    try:
        content = json.loads(path.read_bytes())
        format_version = int(content["format"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    if format_version > FORMAT:
        made_by = content.get("millpond", "a newer release")
        raise BackupRefused(
            f"the backup in {folder} was made by Millpond {made_by}; "
            f"the installed Millpond {installed_version()} cannot read it",
            next_step=f"`pip install 'millpond>={made_by}'`",
        )
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        raise _unreadable(path, str(error)) from error


def write_record(folder: Path, record: Record) -> None:
    """Make `record` that of the backup in `folder`, in one step that survives a power cut."""
    os.sync()  # all files at once: one by one takes milliseconds each
    unfinished = folder / f".{_RECORD}"
    with open_private(unfinished) as file:
        file.write(record.model_dump_json(indent=2).encode())
    unfinished.replace(folder / _RECORD)
    os.sync()


def write_list(folder: Path, files: Iterable[StoredFile]) -> str:
    """Write the list of files into `folder`; returns its SHA-256."""
    digest = hashlib.sha256()
    with open_private(folder / _LIST) as out:
        for file in files:
            line = json.dumps(asdict(file)).encode() + b"\n"
            digest.update(line)
            out.write(line)
    return digest.hexdigest()


def read_list(folder: Path, record: Record) -> list[StoredFile]:
    """Return the files of a backup.

    Raises BackupDamaged if the list is missing or changed, or names a file outside of the backup.
    """
    path = folder / record.state / _LIST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if hashlib.sha256(content).hexdigest() != record.list_sha256:
        raise _unreadable(path, "it has changed since the backup was made")
    files = list(parse_lines(content))
    for file in files:
        if file.sha256 and (file.path.startswith("/") or ".." in file.path.split("/")):
            raise _unreadable(path, f"it names a file outside of the backup, {file.path}")
    return files


def parse_lines(content: bytes) -> Iterator[StoredFile]:
    """Yield the files of a list; a last line that was cut off is left out."""
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield StoredFile(**json.loads(line))


@contextmanager
def open_private(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that only its owner can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        yield file


def _unreadable(path: Path, why: str) -> BackupDamaged:
    return BackupDamaged(
        f"the backup is damaged: {path} cannot be read: {why}",
        unharmed="this home; nothing was restored",
        next_step="restore another backup",
    )
