"""Puts a backup into an empty home: prepared in a folder of it, and moved into place at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from millpond.backup.home_state import (
    STAGE,
    list_parts,
    list_state_files,
    read_superset_password,
)
from millpond.backup.loading import (
    LocalTarget,
    Report,
    adapt_databases,
    copy_state,
    load_databases,
    load_files,
)
from millpond.backup.own_servers import restore_to_servers
from millpond.backup.record import (
    Record,
    StoredFile,
    installed_version,
    read_list,
    read_record,
)
from millpond.errors import BackupDamaged, BackupRefused, HomeTooNew
from millpond.lake.connect import borrow_connection
from millpond.lake.files import lake_io
from millpond.lake.pointer_file import save_pointers
from millpond.naming import MAIN_REF
from millpond.runtime.databases import connect_superuser, open_home
from millpond.runtime.down import stop_parts
from millpond.runtime.home import Home, exclusive, layout, locate, make_root
from millpond.runtime.migrations import migrate
from millpond.runtime.postmaster import find_server
from millpond.runtime.provisioning import provision_superset
from millpond.settings import Settings, settings

_SPARE = 200 << 20
"""Bytes that a new Postgres takes, and some to spare."""
_MOVING = ".moving"
"""File in the stage that names what is moved into the home."""
_STAYS = ("run", "logs", "staging")
_GROWTH = 8
"""A dump's tables take some times its size, with their indexes."""


@dataclass(frozen=True)
class Restored:
    """What was restored, what differs from what was backed up, and how many runs were recorded as ended."""

    record: Record
    differences: list[str]
    runs_ended: int


def restore(folder: Path, report: Report) -> Restored:
    """Restore the backup in `folder` into the home of the settings, which must be empty.

    If it is interrupted, nothing of it is visible, and it may be repeated.
    Raises BackupRefused, BackupDamaged, BackupFailed, HomeTooNew.
    """
    configured = settings()
    record = read_record(folder)
    files = read_list(folder, record)
    _refuse_other(record, configured)
    require_files(record, files, report)
    if configured.scale:
        differences = restore_to_servers(folder, record, files, report)
    else:
        differences = _restore_to_home(folder, record, files, configured, report)
    with borrow_connection() as conn:
        save_pointers(conn, MAIN_REF)
    return Restored(record, differences, _end_runs())


def fill_home(
    folder: Path, record: Record, files: list[StoredFile], there: Settings, warehouse: str, report: Report
) -> list[str]:
    """Fill the new home of the settings `there`, and stop its server; returns what differs.

    Files of the lake are named as below `warehouse`, where they are in the end.
    """
    home = layout(there)
    try:
        if record.with_data:
            load_files(folder, record, files, warehouse, LocalTarget(home.warehouse), report)
        copy_state(folder, record, files, home)
        report("loading the databases")
        found = open_home(home)
        server = find_server(home)
        assert server is not None
        if secret := read_superset_password(home):
            provision_superset(lambda name: connect_superuser(home, server, name), secret)
        parts = list_parts(found, home)
        differences = load_databases(folder, record, files, parts)
        adapt_databases(record, parts, warehouse)
        return differences
    finally:
        stop_parts(home)


def place_in(folder: Path, configured: Settings, *, warehouse: Path | None = None) -> Settings:
    """Return the settings with the home in `folder`, and the warehouse in it or at `warehouse`."""
    return configured.model_copy(
        update={
            "home": folder,
            "iceberg_warehouse_path": str(warehouse or folder / "warehouse"),
            "iceberg_staging_path": folder / "staging",
        }
    )


def require_room(folder: Path, files: list[StoredFile]) -> None:
    """Raise BackupRefused if the disk of `folder` has less room than a restore takes."""
    needed = _SPARE + sum(
        file.size * (_GROWTH if file.path.endswith(".dump") else 1) for file in files if file.sha256
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupRefused(
            f"{folder} has room for {free / 1e6:.0f} MB; a restore needs about {needed / 1e6:.0f} MB",
            next_step="free some, or name a folder on a larger disk: MILLPOND_HOME for a restore, TMPDIR for "
            "`millpond backup verify`",
        )


def require_files(record: Record, files: list[StoredFile], report: Report) -> None:
    """Raise BackupDamaged if files of the lake are missing that the backup has no copy of."""
    named = [file.path for file in files if not file.sha256]
    if not named:
        return
    report(f"looking for {len(named)} files in {record.warehouse}")
    io = lake_io()
    missing = [location for location in named if not io.new_input(location).exists()]
    if missing:
        raise BackupDamaged(
            f"{len(missing)} of {len(named)} files of the lake are not where the backup names them, "
            f"the first is {missing[0]}",
            unharmed="this home; nothing was restored",
            next_step=f"bring {record.warehouse} back, or restore a backup that has the files",
        )


def _refuse_other(record: Record, configured: Settings) -> None:
    """Raise BackupRefused or HomeTooNew for a backup that this release or these settings cannot restore."""
    newest = migrate.newest()
    if any(version > newest for version in record.versions.values()):
        raise HomeTooNew(
            f"the backup was made by Millpond {record.millpond}; "
            f"the installed Millpond {installed_version()} is older",
            unharmed="this home; nothing was restored",
            next_step=f"`pip install 'millpond>={record.millpond}'`",
        )
    if (record.profile, record.catalog) != (configured.profile, configured.catalog):
        raise BackupRefused(
            f"the backup is one of the profile {record.profile} with the catalog {record.catalog}, "
            f"the settings are for {configured.profile} with {configured.catalog}",
            next_step=f"set MILLPOND_PROFILE={record.profile} and MILLPOND_CATALOG={record.catalog}",
        )
    if not record.with_data and record.warehouse != _warehouse_of(configured):
        raise BackupRefused(
            f"the backup has no data: its tables stay in {record.warehouse}, and the settings name "
            f"{_warehouse_of(configured)}",
            next_step="set MILLPOND_ICEBERG_WAREHOUSE_PATH to the warehouse of the backup",
        )


def _warehouse_of(configured: Settings) -> str:
    """Return the address of the warehouse, without creating its folder."""
    if configured.scale:
        return str(configured.iceberg_warehouse_path)
    return f"file://{locate(configured).warehouse}"


def _restore_to_home(
    folder: Path, record: Record, files: list[StoredFile], configured: Settings, report: Report
) -> list[str]:
    home = locate(configured)
    stage = home.root / STAGE
    own = home.warehouse.is_relative_to(home.root)
    with _prepare(home, stage, record, own=own):
        require_room(stage, files)
        keep = home.warehouse if not own or not record.with_data else None
        there = place_in(stage, configured, warehouse=keep)
        differences = fill_home(folder, record, files, there, _warehouse_of(configured), report)
        if not differences:
            os.sync()
            _move_into_place(stage, home)
            return []
    raise BackupDamaged(
        f"the restored databases differ from what was backed up: {'; '.join(differences[:5])}",
        unharmed="this home; nothing was restored",
        next_step="restore another backup",
    )


@contextmanager
def _prepare(home: Home, stage: Path, record: Record, *, own: bool) -> Iterator[None]:
    """Make the empty folder `stage`, after what a restore that was interrupted left there is removed.

    After an error nothing is left, but for files in a warehouse elsewhere, which the next one replaces.
    """
    make_root(home.root)
    lock = home.root / f".{STAGE}.lock"
    with exclusive(lock, doing="a restore", timeout=5):
        resumed = stage.exists() and not (home.postgres / "data").exists()
        if resumed:
            _remove_left_over(home, stage)
        found = _find_content(home, lock, with_tables=record.with_data and (own or not resumed))
        if found or stage.exists():
            raise BackupRefused(
                f"the home {home.root} is not empty: it has {found or stage}",
                next_step="name an empty one (MILLPOND_HOME), or move this one away: "
                f"`millpond down`, then mv {home.root} {home.root}.old",
            )
        make_root(stage)
        try:
            yield
        except BaseException:
            if own:
                shutil.rmtree(stage, ignore_errors=True)
            raise
    lock.unlink(missing_ok=True)


def _remove_left_over(home: Home, stage: Path) -> None:
    """Remove what an interrupted restore prepared, and what of it was moved into the home already."""
    stop_parts(layout(place_in(stage, settings())))
    moving = stage / _MOVING
    for name in moving.read_text().splitlines() if moving.exists() else ():
        if not (stage / name).exists():
            _remove(home.root / name)
    shutil.rmtree(stage)


def _find_content(home: Home, lock: Path, *, with_tables: bool) -> Path | None:
    """Return something in the home that a restore would have to replace, None if there is nothing."""
    if (home.postgres / "data").exists():
        return home.postgres / "data"
    found = (path for path in list_state_files(home) if path != lock)
    tables = (path for path in home.warehouse.rglob("*") if path.is_file() and with_tables)
    return next(found, None) or next(tables, None)


def _move_into_place(stage: Path, home: Home) -> None:
    """Move what was prepared into the home; its databases last, so that an unfinished move is repeated."""
    names = sorted(path.name for path in stage.iterdir() if path.name not in _STAYS)
    names.sort(key=lambda name: name == home.postgres.name)
    (stage / _MOVING).write_text("\n".join(names))
    for name in names:
        _remove(home.root / name)  # an empty folder, or one that is made again
        (stage / name).replace(home.root / name)
    shutil.rmtree(stage)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _end_runs() -> int:
    """Record the runs that were in progress as canceled: their processes ended with the former machine."""
    from dagster import DagsterRunStatus, RunsFilter

    from millpond.instance.home import open_instance

    unfinished = [
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ]
    with open_instance() as instance:
        runs = instance.get_runs(RunsFilter(statuses=unfinished))
        for run in runs:
            instance.report_run_canceled(run, "This run was in progress when the backup was made.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(runs)
