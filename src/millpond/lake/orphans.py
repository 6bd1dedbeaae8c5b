"""Files that nothing leads to: what killed writers, failed audits and dropped branches left behind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.lake import nessie
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import pooled
from millpond.lake.files import warehouse_uri
from millpond.lake.metadata import metadata_at
from millpond.naming import MAIN_REF
from millpond.settings import settings

YOUNGEST = dt.timedelta(days=1)
"""A younger file may belong to a write at work, whose pointer is still to come."""

NESSIE = (
    "no files are removed: tags, older hashes and branches of others in Nessie may lead to them. "
    "Nessie's own tool, nessie-gc, knows them all"
)
"""What is said where Nessie is the catalog."""

_ENDINGS = (".parquet", ".avro", ".json", ".puffin", ".stats")
_METADATA = "/metadata/"
_POINTERS = """
    select metadata_location from iceberg_tables where coalesce(iceberg_type, 'TABLE') = 'TABLE'
    union select metadata_location from lake_branch_bases
    union select location.value from lake_pins, jsonb_each_text(pointers) location
"""
_EVER = f"""
    select old_location from lake_ref_log where old_location is not null
    union select new_location from lake_ref_log where new_location is not null union {_POINTERS}
"""  # noqa: S608 - a constant of ours


@dataclass(frozen=True)
class Orphan:
    """A file that no ref, branch base or pin leads to."""

    location: str
    bytes: int
    written: dt.datetime


def sweep(older_than: dt.timedelta | None = None, *, dry_run: bool = False) -> list[Orphan]:
    """Remove the orphans older than that (default: the setting; at least a day) and return them.

    With `dry_run` they are only returned. It looks into the folders of tables that this catalog has, or
    had: what else lies in the warehouse, other installations' tables too, is not touched.
    Under Nessie it removes and returns nothing, see `NESSIE`.
    """
    if nessie.is_used():
        return []
    age = dt.timedelta(days=settings().orphan_retention_days) if older_than is None else older_than
    before = dt.datetime.now(dt.UTC) - max(age, YOUNGEST)
    io = LakeCatalog(MAIN_REF).file_io()
    # Files first, pointers after: what is written between the two is not in the list.
    listed = [orphan for folder in _folders() for orphan in _files(io, folder, before)]
    live = _live(io)
    found = [orphan for orphan in listed if orphan.location not in live]
    if not dry_run:
        for orphan in found:
            io.delete(orphan.location)
    return found


def _folders() -> list[str]:
    """Return the folders of all tables there are or were, those in the warehouse only."""
    with pooled() as conn:
        ever = [location for (location,) in conn.execute(_EVER).fetchall()]
    folders = {location.rpartition(_METADATA)[0] for location in ever if _METADATA in location}
    return sorted(folder for folder in folders if folder.startswith(f"{warehouse_uri()}/"))


def _files(io: PyArrowFileIO, folder: str, before: dt.datetime) -> Iterator[Orphan]:
    """Yield the files of a table's folder that were written `before` then, each as if it were an orphan."""
    scheme, netloc, path = io.parse_location(folder)
    filesystem: FileSystem = io.fs_by_scheme(scheme, netloc)
    root = folder.removesuffix(path)
    for file in filesystem.get_file_info(FileSelector(path, allow_not_found=True, recursive=True)):
        if _is_ours(file) and file.mtime < before:
            yield Orphan(f"{root}{file.path}", file.size, file.mtime)


def _is_ours(file: FileInfo) -> bool:
    return bool(file.type == FileType.File) and str(file.path).endswith(_ENDINGS)


def _live(io: FileIO) -> set[str]:
    """Return every file that a pointer leads to: metadata, manifests, data, of all snapshots."""
    with pooled() as conn:
        pointers = [location for (location,) in conn.execute(_POINTERS).fetchall()]
    live, lists, manifests = set(pointers), set(), set()
    for pointer in pointers:
        metadata = metadata_at(pointer)
        live.update(entry.metadata_file for entry in metadata.metadata_log)
        live.update(e.statistics_path for e in (*metadata.statistics, *metadata.partition_statistics))
        for snapshot in metadata.snapshots:
            if snapshot.manifest_list in lists:
                continue
            lists.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(io):
                if manifest.manifest_path not in manifests:
                    manifests.add(manifest.manifest_path)
                    entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
                    live.update(entry.data_file.file_path for entry in entries)
    return live | lists | manifests
