"""Makes a backup: the databases at one moment, then the files of the lake that they lead to."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.backup.copying import Copies, copy_file
from millpond.backup.databases import Moment, hold_moment
from millpond.backup.home_state import list_parts, list_state_files
from millpond.backup.lake_files import LakeFiles, find_files, hash_content
from millpond.backup.record import (
    FORMAT,
    Record,
    StoredFile,
    TableContent,
    find_record,
    installed_version,
    read_list,
    write_list,
    write_record,
)
from millpond.errors import BackupFailed, BackupRefused
from millpond.lake import nessie, pins
from millpond.lake.files import lake_io, warehouse_uri
from millpond.lake.refs import list_refs
from millpond.runtime.databases import databases, refuse_other_version
from millpond.runtime.home import exclusive, layout, locate
from millpond.runtime.migrations import migrate
from millpond.settings import Settings, settings

_PIN_LIFETIME = dt.timedelta(days=7)
"""How long a copy may take; the files of a version that expires meanwhile stay that long."""
Report = Callable[[str], None]
"""Takes a line about the progress."""


@dataclass(frozen=True)
class Made:
    """What a backup did: its record, and how many files and bytes of the lake it had to copy."""

    record: Record
    copied_files: int
    copied_bytes: int


def back_up(folder: Path, *, with_data: bool, report: Report) -> Made:
    """Back this home up into `folder`, which is new, empty, or holds a backup that this one replaces.

    Files of the lake that the backup before has are not copied again; without `with_data`, none are. Others
    may go on writing. If it is interrupted, the backup before stays complete, and the next one continues.
    Raises BackupRefused, BackupFailed, EmbeddedPartError.
    """
    configured = settings()
    before = _open_folder(folder, configured)
    if nessie.is_used() and with_data:
        raise BackupRefused(
            "with Nessie as the catalog only the databases can be backed up: which files belong to the lake "
            "is Nessie's to say",
            next_step="add --no-data, and back up the bucket and Nessie's own store with their tools",
        )
    refuse_other_version()
    with exclusive(folder / ".lock", doing="a backup"), _hold_pins():
        state = folder / f"state-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        state.mkdir(mode=0o700)
        report("reading the databases")
        with hold_moment(list_parts(databases(), locate(configured))) as moment:
            counted = {part.key: moment.count(part.key) for part in moment.parts}
            pointers = _read_pointers(moment)
            identity = _identify(moment, before, folder)
            for part in moment.parts:
                moment.dump(part.key, state / f"{part.key}.dump")
        io = lake_io()
        files = _find_lake_files(io, pointers)
        copies = Copies(folder, warehouse_uri(), known=_list_known(folder, before))
        if with_data:
            copies.require_room(io, files)
            lake = copies.copy(io, files, report)
        else:
            lake = [StoredFile(location, size or 0, None) for location, size in sorted(files.needed.items())]
        report("reading the tables")
        record = Record(
            format=FORMAT,
            id=state.name.removeprefix("state-"),
            millpond=installed_version(),
            created_at=dt.datetime.now(dt.UTC),
            profile=configured.profile,
            catalog=configured.catalog,
            timezone=configured.timezone,
            home=identity,
            warehouse=warehouse_uri(),
            with_data=with_data,
            versions={schema: migrate.newest() for schema in migrate.SCHEMAS},
            rows={key: rows for key, (rows, _) in counted.items()},
            marts=counted["marts"][1],
            tables=_describe_tables(io, pointers.refs, before, read=with_data),
            files=len(lake),
            bytes=sum(file.size for file in lake),
            outside=copies.outside,
            list_sha256=write_list(state, [*_copy_state(folder, state, configured), *lake]),
        )
        write_record(folder, record)
        _remove_replaced(folder, record, lake if with_data else [])
    return Made(record, copies.copied_files, copies.copied_bytes)


def _open_folder(folder: Path, configured: Settings) -> Record | None:
    """Create the folder; returns the record of the backup that is in it. Raises BackupRefused."""
    home = locate(configured)
    inside = [home.root, *([] if configured.scale else [home.warehouse])]
    if any(folder.resolve().is_relative_to(place.resolve()) for place in inside):
        raise BackupRefused(
            f"{folder} is inside the home: it would be lost with it",
            next_step="name a folder on another disk, or one that is copied elsewhere",
        )
    if not configured.scale and not (home.postgres / "data").exists():
        raise BackupRefused(
            f"there is nothing to back up: no home at {home.root}",
            next_step="run this in the project's folder, or set MILLPOND_HOME",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise BackupRefused(
            f"{folder} cannot be used: {error.strerror}", next_step="name a folder that you can write to"
        ) from error
    if found and not found & {"backup.json", ".lock"}:
        raise BackupRefused(
            f"{folder} is not empty, and holds no backup", next_step="name a new folder, or an empty one"
        )
    folder.chmod(0o700)
    return find_record(folder)


@contextmanager
def _hold_pins() -> Iterator[None]:
    """Keep the files of every ref within the block, even if their versions expire."""
    held = [pins.pin(ref.name, lifetime=_PIN_LIFETIME) for ref in list_refs()]
    try:
        yield
    finally:
        for pin in held:
            pins.release(pin.name)


@dataclass(frozen=True)
class _Pointers:
    refs: list[tuple[str, str, str]]
    """Ref, table and metadata file."""
    needed: set[str]
    former: set[str]


def _read_pointers(moment: Moment) -> _Pointers:
    refs = moment.query(
        "catalog",
        "select catalog_name, table_namespace || '.' || table_name, metadata_location from iceberg_tables"
        " where metadata_location is not null order by 1, 2",
    )
    bases = moment.query("catalog", "select metadata_location from lake_branch_bases")
    log = moment.query(
        "catalog",
        "select old_location from lake_ref_log where old_location is not null"
        " union select new_location from lake_ref_log where new_location is not null",
    )
    needed = {location for _, _, location in refs} | {location for (location,) in bases}
    return _Pointers(refs, needed, {location for (location,) in log})


def _identify(moment: Moment, before: Record | None, folder: Path) -> str:
    """Return what tells this home from others. Raises BackupRefused if `before` is of another one."""
    ((created_at,),) = moment.query("catalog", "select created_at::text from lake_refs where name = 'main'")
    if before and before.home != created_at:
        raise BackupRefused(
            f"{folder} has a backup of another home, made at {before.created_at:%Y-%m-%d %H:%M} UTC",
            next_step="name another folder",
        )
    return str(created_at)


def _find_lake_files(io: PyArrowFileIO, pointers: _Pointers) -> LakeFiles:
    try:
        return find_files(io, pointers.needed, pointers.former)
    except FileNotFoundError as error:
        raise BackupFailed(
            f"the lake lacks a file that a table needs: {error}",
            unharmed="the backup before, if there is one",
            next_step="`millpond doctor` names such tables; restore them from the backup before",
        ) from error


def _list_known(folder: Path, before: Record | None) -> Mapping[str, StoredFile]:
    files = read_list(folder, before) if before else []
    return {file.path: file for file in files if file.sha256}


def _describe_tables(
    io: PyArrowFileIO, refs: list[tuple[str, str, str]], before: Record | None, *, read: bool
) -> list[TableContent]:
    """Return rows and hash of each table; those of a version that the backup before has are taken from it."""
    known: dict[str, tuple[int | None, str | None]] = {
        table.metadata: (table.rows, table.hash) for table in (before.tables if before else ()) if table.hash
    }
    found = []
    for ref, table, location in refs:
        if location not in known:
            known[location] = hash_content(io, location) if read else (None, None)
        rows, digest = known[location]
        found.append(TableContent(name=table, ref=ref, metadata=location, rows=rows, hash=digest))
    return found


def _copy_state(folder: Path, state: Path, configured: Settings) -> list[StoredFile]:
    """Copy the other files of the home; returns them, with those of the dumps."""
    home = layout(configured)
    stored = []
    for path in list_state_files(home):
        target = state / "home" / path.relative_to(home.root)
        try:
            with path.open("rb") as source:
                stored.append(copy_file(source.read, target, folder))
        except FileNotFoundError:  # removed since it was listed
            continue
    return [*stored, *(copy_file(None, dump, folder) for dump in sorted(state.glob("*.dump")))]


def _remove_replaced(folder: Path, record: Record, lake: list[StoredFile]) -> None:
    """Remove what the backup before had and this one does not."""
    for path in folder.glob("state-*"):
        if path.name != record.state:
            shutil.rmtree(path, ignore_errors=True)
    Copies.remove_others(folder, {file.path for file in lake})


def to_dict(made: Made) -> dict[str, Any]:
    """Return what a backup did, for machines."""
    record = made.record
    return {
        "id": record.id,
        "created_at": record.created_at,
        "tables": len({table.name for table in record.tables if table.ref == "main"}),
        "rows": record.lake_rows,
        "files": record.files,
        "bytes": record.bytes,
        "copied_files": made.copied_files,
        "copied_bytes": made.copied_bytes,
        "outside": record.outside,
        "with_data": record.with_data,
    }
