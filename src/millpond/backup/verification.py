"""Verifies a backup: restores it into a temporary home and compares what is there with what was backed up."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from millpond.backup.lake_files import hash_content
from millpond.backup.loading import Report
from millpond.backup.record import Record, TableContent, read_list, read_record
from millpond.backup.restore import fill_home, place_in, require_files, require_room
from millpond.errors import BackupRefused
from millpond.lake.files import lake_io
from millpond.settings import settings


@dataclass(frozen=True)
class Compared:
    """A table in the backup and restored; `equal` is None if its rows could not be compared."""

    table: TableContent
    rows: int | None
    equal: bool | None


@dataclass(frozen=True)
class Verified:
    """What a backup holds, and what differs in a restored copy: of Postgres' tables, and of the lake's."""

    record: Record
    tables: list[Compared]
    differences: list[str]

    @property
    def success(self) -> bool:
        """Whether the restored copy equals what was backed up."""
        return not self.differences


def verify(folder: Path, report: Report) -> Verified:
    """Restore the backup in `folder` into a temporary home, compare, and remove it; this home is not read.

    All servers that it starts have ended when it returns. Raises BackupRefused, BackupDamaged, BackupFailed.
    """
    configured = settings()
    record = read_record(folder)
    if configured.scale:
        raise BackupRefused(
            "under the profile scale a backup cannot be restored into a temporary home: Postgres is your own",
            next_step="restore it with settings that name an empty Postgres",
        )
    files = read_list(folder, record)
    require_files(record, files, report)
    home = Path(tempfile.mkdtemp(prefix="millpond-verify-"))
    home.chmod(0o711)  # as root, Postgres runs as another user
    try:
        require_room(home, files)
        there = place_in(home / "home", configured)
        warehouse = f"file://{there.warehouse}" if record.with_data else record.warehouse
        differences = fill_home(folder, record, files, there, warehouse, report)
        report("comparing the tables")
        tables = [_compare(table, record.warehouse, warehouse) for table in record.tables]
        differences += [
            f"{compared.table.name} on {compared.table.ref} has {compared.rows} rows"
            + (f", not {compared.table.rows}" if compared.rows != compared.table.rows else " of other values")
            for compared in tables
            if compared.equal is False
        ]
        return Verified(record, tables, differences)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _compare(table: TableContent, old: str, new: str) -> Compared:
    if table.hash is None:
        return Compared(table, None, None)
    rows, digest = hash_content(lake_io(), new + table.metadata.removeprefix(old))
    return Compared(table, rows, (rows, digest) == (table.rows, table.hash))
