"""Housekeeping: old audit branches, expired pins, and files that no pointer leads to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pyarrow.fs import FileInfo, FileType
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.errors import LakeError
from millpond.lake import nessie
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import list_files, warehouse_uri
from millpond.lake.metadata import list_manifest_files, read_metadata
from millpond.lake.pins import expire_pins
from millpond.lake.refs import Ref, drop, list_refs
from millpond.naming import MAIN_REF
from millpond.settings import settings

YOUNGEST = dt.timedelta(days=1)
"""A younger file may belong to a write in progress, which has not moved its pointer yet."""

NESSIE = (
    "no files are removed: tags, older hashes and branches of others in Nessie may refer to them. "
    "Use Nessie's own tool, nessie-gc, which knows them all"
)
"""The message if Nessie is the catalog."""

_ENDINGS = (".parquet", ".avro", ".json", ".puffin", ".stats")
_METADATA = "/metadata/"
_POINTERS = """
    select metadata_location from iceberg_tables where coalesce(iceberg_type, 'TABLE') = 'TABLE'
    union select metadata_location from lake_branch_bases where iceberg_type = 'TABLE'
    union select location.value from lake_pins, jsonb_each_text(pointers) location
"""
_VIEWS = """
    select metadata_location from iceberg_tables where iceberg_type = 'VIEW'
    union select metadata_location from lake_branch_bases where iceberg_type = 'VIEW'
    union select old_location from lake_ref_log where iceberg_type = 'VIEW' and old_location is not null
"""
_EVER = f"""
    select old_location from lake_ref_log where old_location is not null
    union select new_location from lake_ref_log where new_location is not null union {_POINTERS}
"""  # noqa: S608 - a constant of ours


_RUN_MAY_TAKE = dt.timedelta(days=1)
"""A younger audit branch may belong to a run in progress; an older one that is not kept, to a killed run."""


@dataclass(frozen=True)
class Orphan:
    """A file that no ref, branch base or pin leads to."""

    location: str
    bytes: int
    written: dt.datetime


def drop_old_branches(older_than: dt.timedelta | None = None, *, dry_run: bool = False) -> list[Ref]:
    """Drop audit branches older than `older_than` (default: the setting), and expired pins.

    Returns the branches that it drops, or with `dry_run` would drop. Branches that you created stay, and so
    do those that others were created from.
    """
    age = dt.timedelta(days=settings().branch_retention_days) if older_than is None else older_than
    now = dt.datetime.now(dt.UTC)
    there = list_refs()
    needed = {ref.base for ref in there}
    due = [ref for ref in there if ref.name not in needed and now - ref.created_at >= _get_lifetime(ref, age)]
    if dry_run:
        return due
    expire_pins()
    dropped = [ref for ref in due if _try_drop(ref.name)]
    if settings().scale:
        from millpond.lake import trino

        trino.drop_catalogs_of_dropped([ref.name for ref in list_refs()])
    return dropped


def remove_orphans(older_than: dt.timedelta | None = None, *, dry_run: bool = False) -> list[Orphan]:
    """Remove orphans older than `older_than` (default: the setting; at least a day) and return them.

    Metadata files that later ones of their table replaced go after a day. With `dry_run` they are only
    returned. It looks into the folders of tables that this catalog has or had:
    other files in the warehouse, such as tables of other installations, are not touched.
    With Nessie it removes and returns nothing, see `NESSIE`.
    """
    if nessie.is_used():
        return []
    age = dt.timedelta(days=settings().orphan_retention_days) if older_than is None else older_than
    now = dt.datetime.now(dt.UTC)
    io = LakeCatalog(MAIN_REF).file_io()
    # Files first, then pointers: files written between the two are not in the list.
    listed = [o for folder in list_folders() for o in _list_old_files(io, folder, now - YOUNGEST)]
    live, in_use = list_live_files(io)
    before = now - max(age, YOUNGEST)
    found = [
        orphan
        for orphan in listed
        if orphan.location not in live and (orphan.written < before or _is_superseded(orphan, in_use))
    ]
    if not dry_run:
        for orphan in found:
            io.delete(orphan.location)
    return found


def _get_lifetime(ref: Ref, age: dt.timedelta) -> dt.timedelta:
    if ref.state == "audit kept":
        return age
    return max(age, _RUN_MAY_TAKE) if ref.state == "audit" else dt.timedelta.max


def _try_drop(name: str) -> bool:
    """Drop a branch unless it is gone, or another branch was created from it meanwhile."""
    try:
        drop(name)
    except LakeError:
        return False
    return True


def list_folders() -> list[str]:
    """Return the folders in the warehouse of all tables that exist or existed."""
    with borrow_connection() as conn:
        ever = [location for (location,) in conn.execute(_EVER).fetchall()]
    folders = {location.rpartition(_METADATA)[0] for location in ever if _METADATA in location}
    below = f"{warehouse_uri()}/"
    return sorted(f for f in folders if f.startswith(below) and ".." not in f.split("/"))


def _list_old_files(io: PyArrowFileIO, folder: str, before: dt.datetime) -> Iterator[Orphan]:
    """Yield the files of a table's folder that were written before `before`, as possible orphans."""
    for location, file in list_files(io, folder):
        if _is_ours(file) and file.mtime < before:
            yield Orphan(location, file.size, file.mtime)


def _is_ours(file: FileInfo) -> bool:
    return bool(file.type == FileType.File) and str(file.path).endswith(_ENDINGS)


def _is_superseded(orphan: Orphan, in_use: set[str]) -> bool:
    """Return whether it is the metadata of a former version of a table that is still there.

    A busy table has many, of some 100 kB each.
    """
    folder, _, name = orphan.location.rpartition(_METADATA)
    return folder in in_use and name.endswith(".metadata.json")


def list_live_files(io: FileIO, among: Collection[str] | None = None) -> tuple[set[str], set[str]]:
    """Return every file that a pointer leads to, of all snapshots, and the folders of the pointers.

    `among` are the folders of tables to look at; all by default.
    """
    with borrow_connection() as conn:
        found = [location for (location,) in conn.execute(_POINTERS).fetchall()]
        views = {location for (location,) in conn.execute(_VIEWS).fetchall()}
    pointers = [each for each in found if among is None or each.rpartition(_METADATA)[0] in among]
    live, lists, manifests = {*pointers, *views}, set[str](), set[str]()
    for pointer in pointers:
        metadata = read_metadata(pointer)
        live.update(entry.metadata_file for entry in metadata.metadata_log)
        live.update(e.statistics_path for e in (*metadata.statistics, *metadata.partition_statistics))
        for snapshot in metadata.snapshots:
            if snapshot.manifest_list in lists:
                continue
            try:
                found = snapshot.manifests(io)
            except FileNotFoundError:
                if snapshot.snapshot_id == metadata.current_snapshot_id:
                    raise
                continue  # expired, swept, and named again by the metadata that an undo went back to
            lists.add(snapshot.manifest_list)
            live.update(list_manifest_files(found, io, manifests))
    return live | lists, {pointer.rpartition(_METADATA)[0] for pointer in pointers}
