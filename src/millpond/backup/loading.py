"""Loads a backup: databases into empty ones, files into a warehouse, compared with its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg import sql
from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.backup.databases import Part, count_rows, load
from millpond.backup.record import Record, StoredFile, open_private
from millpond.backup.relocation import Relocation
from millpond.errors import BackupDamaged
from millpond.runtime.home import Home

Report = Callable[[str], None]
"""Takes a line about the progress."""
_CHUNK = 4 << 20
_EVERY = 500
_TEXTS = """
    select table_name, column_name from information_schema.columns
    where table_schema = %s and data_type in ('text', 'character varying') and is_updatable = 'YES'
"""


def check_file(folder: Path, file: StoredFile, write: Callable[[bytes], object]) -> None:
    """Give the content of a file to `write` in pieces. Raises BackupDamaged if it is not as backed up."""
    digest, path = hashlib.sha256(), folder / file.path
    try:
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                write(chunk)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if digest.hexdigest() != file.sha256:
        raise _damaged(path, "its content is not what was backed up")


def load_files(
    folder: Path, record: Record, files: list[StoredFile], warehouse: str, target: Target, report: Report
) -> None:
    """Write the lake's files to `target`; those that name others name them below `warehouse`.

    Raises BackupDamaged, naming the file, if one is missing or changed.
    """
    below = f"{record.data}/"
    data = {file.path.removeprefix(below): file for file in files if file.path.startswith(below)}
    prefix = f"{record.warehouse}/"
    moved = warehouse != record.warehouse

    def read(location: str) -> bytes:
        pieces: list[bytes] = []
        name = location.removeprefix(prefix)
        if name not in data:
            raise _damaged(folder / below / name, "it is not in the backup")
        check_file(folder, data[name], pieces.append)
        return b"".join(pieces)

    def write(location: str, content: bytes) -> None:
        with target.open(location.removeprefix(prefix)) as out:
            out.write(content)

    rewritten = [name for name in data if moved and name.endswith((".avro", ".metadata.json"))]
    for number, (name, file) in enumerate(sorted(data.items()), 1):
        if not (moved and name.endswith((".avro", ".metadata.json"))):
            with target.open(name) as out:
                check_file(folder, file, out.write)
        if number % _EVERY == 0 or number == len(data):
            report(f"{number} of {len(data)} files of the lake")
    if moved:
        report(f"rewriting {len(rewritten)} files for {warehouse}")
        relocation = Relocation(record.warehouse, warehouse, read, write)
        relocation.convert_all([prefix + name for name in sorted(rewritten)])


def copy_state(folder: Path, record: Record, files: list[StoredFile], home: Home) -> None:
    """Write the other files of a home."""
    prefix = f"{record.state}/home/"
    for file in files:
        if file.path.startswith(prefix):
            with open_private(home.root / file.path.removeprefix(prefix)) as out:
                check_file(folder, file, out.write)


def load_databases(folder: Path, record: Record, files: list[StoredFile], parts: list[Part]) -> list[str]:
    """Load every dump into its empty database; returns what differs from what was backed up.

    The catalog comes last. Raises BackupDamaged, BackupFailed.
    """
    dumps = {Path(file.path).stem: file for file in files if file.path.endswith(".dump")}
    differences = []
    for part in sorted(parts, key=lambda part: part.key == "catalog"):
        expected = record.rows.get(part.key)
        if expected is None:
            continue
        check_file(folder, dumps[part.key], len)
        load(part, folder / dumps[part.key].path, {name.partition(".")[0] for name in expected})
        with part.connect() as connection:
            rows, hashes = count_rows(connection, part)
        rows.pop("catalog.restoring", None)
        for name in sorted(expected.keys() | rows.keys()):
            if rows.get(name) != expected.get(name):
                differences.append(f"{part.key}: {name} has {rows.get(name)} rows, not {expected.get(name)}")
            elif part.hashed and hashes[name] != record.marts[name]:
                differences.append(f"{part.key}: {name} has other values")
    return differences


def adapt_databases(record: Record, parts: list[Part], warehouse: str) -> None:
    """Have the catalog name files below `warehouse`, and forget what only made sense on the former server."""
    by_key = {part.key: part for part in parts}
    with by_key["catalog"].connect() as connection:
        connection.execute("drop table if exists restoring; delete from lake_pins")
        if warehouse != record.warehouse:
            _move_locations(connection, record.warehouse, warehouse)
    with by_key["ops"].connect() as connection:
        # Transaction numbers are those of a server: with a lower one the finders of alerts set a new mark.
        connection.execute("update alert_cursors set mark = null, mark_xid = null")


def _move_locations(connection: psycopg.Connection[Any], old: str, new: str) -> None:
    for table, column in connection.execute(_TEXTS, ("catalog",)).fetchall():
        connection.execute(
            sql.SQL(
                "update {table} set {column} = %(new)s || substr({column}, %(length)s)"
                " where {column} = %(old)s or starts_with({column}, %(old)s || '/')"
            ).format(table=sql.Identifier("catalog", table), column=sql.Identifier(column)),
            {"old": old, "new": new, "length": len(old) + 1},
        )


def _damaged(path: Path, why: str) -> BackupDamaged:
    return BackupDamaged(
        f"the backup is damaged: {path}: {why}",
        unharmed="this home; nothing was restored",
        next_step="restore another backup; or, if the home is still there, remove that file from the "
        "backup and repeat `millpond backup`, which copies it again",
    )


class LocalTarget:
    """A folder that the lake's files are written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Return a context that writes the file `name`, by its path in the warehouse."""
        return open_private(self._folder / name)


class StoreTarget:
    """A warehouse in S3."""

    def __init__(self, io: PyArrowFileIO, warehouse: str) -> None:
        self._io, self._warehouse = io, warehouse

    def open(self, name: str) -> AbstractContextManager[Any]:
        """Return a context that writes the file `name`, by its path in the warehouse."""
        return self._io.new_output(f"{self._warehouse}/{name}").create(overwrite=True)


Target = LocalTarget | StoreTarget
