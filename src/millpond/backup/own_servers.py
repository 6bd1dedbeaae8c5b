"""Restores a backup into your own Postgres and S3, under the profile scale."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

from millpond.backup.databases import TABLES, Part, list_schemas
from millpond.backup.home_state import list_parts
from millpond.backup.loading import (
    Report,
    StoreTarget,
    adapt_databases,
    copy_state,
    load_databases,
    load_files,
)
from millpond.backup.record import Record, StoredFile
from millpond.errors import BackupDamaged, BackupRefused
from millpond.lake.files import lake_io, warehouse_uri
from millpond.runtime.databases import databases
from millpond.runtime.home import layout
from millpond.settings import settings


def restore_to_servers(folder: Path, record: Record, files: list[StoredFile], report: Report) -> list[str]:
    """Fill the empty databases of the settings, and the warehouse if the backup has its files.

    Raises BackupRefused if they are not empty, BackupDamaged, BackupFailed.
    """
    home = layout(settings())
    parts = list_parts(databases(), home)
    _empty_servers(parts)
    if record.with_data:
        target = StoreTarget(lake_io(), warehouse_uri())
        load_files(folder, record, files, warehouse_uri(), target, report)
    copy_state(folder, record, files, home)
    report("loading the databases")
    differences = load_databases(folder, record, files, parts)
    if not differences:
        adapt_databases(record, parts, warehouse_uri())
        return []
    raise BackupDamaged(
        f"the restored databases differ from what was backed up: {'; '.join(differences[:5])}",
        unharmed="the backup",
        next_step="restore another backup, into databases that `millpond provision` made new",
    )


def _empty_servers(parts: list[Part]) -> None:
    """Drop the empty tables that `millpond provision` made. Raises BackupRefused if a table has rows.

    A table `restoring` marks databases that an interrupted restore left; they are emptied.
    """
    by_key = {part.key: part for part in parts}
    with by_key["catalog"].connect() as connection:
        found = connection.execute("select to_regclass('restoring') is not null").fetchone()
        if found != (True,):
            for key, table in (("catalog", "iceberg_tables"), ("dagster", "event_logs")):
                _refuse_rows(by_key[key], table)
        connection.execute("create table if not exists restoring ()")
    for part in sorted(parts, key=lambda part: part.key == "catalog"):
        with part.connect() as connection:
            for schema in list_schemas(connection, part):
                for (table,) in connection.execute(TABLES, (schema,)).fetchall():
                    drop = sql.SQL("drop table if exists {} cascade")
                    if table != "restoring":
                        connection.execute(drop.format(sql.Identifier(schema, table)))


def _refuse_rows(part: Part, table: str) -> None:
    with part.connect() as connection:
        there = connection.execute("select to_regclass(%s)", (table,)).fetchone()
        if there == (None,):
            return
        some = sql.SQL("select exists (select from {})").format(sql.Identifier(table))
        if connection.execute(some).fetchone() == (True,):
            raise BackupRefused(
                f"database {part.database.name} at {part.database.host} is not empty: {table} has rows",
                next_step="create empty databases and run `millpond provision`, then restore again",
            )
