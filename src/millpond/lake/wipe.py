"""Wiping days from the files of tables: no version, and no file that is left, has their rows any more."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import psutil
import pyarrow.parquet as pq
from pyiceberg.expressions import BooleanExpression
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from millpond.internals.pyiceberg import (
    ROWS_MIGHT_NOT_MATCH,
    InclusiveMetricsEvaluator,
    RemoveSnapshotsUpdate,
    load_location_provider,
    parse_metadata_version,
    update_table_metadata,
)
from millpond.lake.catalog import LakeCatalog
from millpond.lake.commit import swap
from millpond.lake.connect import borrow_connection
from millpond.lake.files import lake_io, list_files, name_read_errors
from millpond.lake.housekeeping import list_folders, list_live_files
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import read_metadata, write_metadata
from millpond.lake.pins import release
from millpond.lake.pointers import Move, Note, PointerMoved, find_user, read_pointers
from millpond.lake.ref_log import WIPE
from millpond.lake.removal import WINDOW_COLUMN
from millpond.lake.windows import Windows
from millpond.naming import LAYERS, MAIN_REF
from millpond.partitions import contiguous
from millpond.settings import settings

_ATTEMPTS = 20
_OTHERS = """
select catalog_name, table_namespace || '.' || table_name, metadata_location from iceberg_tables
    where catalog_name <> 'main' and coalesce(iceberg_type, 'TABLE') = 'TABLE'
        and table_namespace || '.' || table_name = any(%(tables)s)
union select ref, table_namespace || '.' || table_name, metadata_location from lake_branch_bases
    where iceberg_type = 'TABLE' and table_namespace || '.' || table_name = any(%(tables)s)
"""
_PINS = """
select name, holder, location.key, location.value from lake_pins, jsonb_each_text(pointers) location
    where expires_at > clock_timestamp() and location.key = any(%(tables)s)
"""

Days = Mapping[str, Collection[dt.date] | None]
"""The days of each table that are wiped; None: all that it had before, as it was built again whole."""


@dataclass(frozen=True)
class Needed:
    """A branch or a pin that shows rows which are to be wiped, and what to do about it."""

    name: str
    remedy: str


@dataclass(frozen=True)
class Erased:
    """What was removed of a table: versions and files, and the bytes of these.

    `left` are files that others wrote meanwhile, without having committed them: they may be needed.
    """

    table: str
    versions: int
    files: int
    bytes: int
    left: int = 0


def find_needed(days: Days, *, release_gone: bool = True) -> list[Needed]:
    """Return what still needs rows of these days: branches, and pins of readers that are there.

    Pins of processes of this machine that are gone do not count, and are released with `release_gone`.
    """
    with borrow_connection() as conn:
        values = {"tables": list(days)}
        others = conn.execute(_OTHERS, values).fetchall()
        pins = conn.execute(_PINS, values).fetchall()
        main = read_pointers(conn, MAIN_REF, days)
    found = {}
    for ref, table, location in others:
        if ref not in found and _shows(location, days[table], main.get(table)):
            found[ref] = Needed(f"branch {ref}", f"`millpond branch drop {ref}`")
    for name, holder, table, location in pins:
        if name in found or not _shows(location, days[table], main.get(table)):
            continue
        if _is_gone(holder):
            if release_gone:
                release(name)
        else:
            found[name] = Needed(f"pin {name} of {holder}", f"end {holder}, which reads the lake")
    return list(found.values())


def expire(days: Days) -> dict[str, int]:
    """Drop the versions of tables of main that show rows of these days; returns how many of each.

    Raises LockTimeout, RefNotFound.
    """
    own = uuid.uuid4().hex  # to the log it is one commit
    return {table: _expire(table, of, own) for table, of in sorted(days.items())}


def erase(days: Days, versions: Mapping[str, int], before: dt.datetime) -> list[Erased]:
    """Delete the files from before `before` that nothing leads to and that may have rows of these days.

    So go files of versions that expired earlier and of killed loads, manifests, which have least and greatest
    values, and all files of tables on branches that are gone.
    """
    io = lake_io()
    folders = {folder: _name_table(folder) for folder in list_folders()}
    chosen = {f: t for f, t in folders.items() if t in days or t.partition(".")[0] not in LAYERS}
    live, in_use = list_live_files(io, chosen)
    removed: dict[str, list[int]] = {table: [] for table in days}
    left: Counter[str] = Counter()
    for folder, table in chosen.items():
        column = _find_column(folder, live) if folder in in_use else None
        for location, file in list_files(io, folder):
            if not file.is_file or location in live:
                continue
            of = days.get(table)
            if location.endswith(".parquet") and of and column and not _may_hold(io, location, column, of):
                continue
            if file.mtime >= before:
                left[table] += location.endswith(".parquet")
                continue
            io.delete(location)
            removed.setdefault(table, []).append(file.size)
    return [
        Erased(table, versions.get(table, 0), len(sizes), sum(sizes), left[table])
        for table, sizes in removed.items()
    ]


def _find_column(folder: str, live: Collection[str]) -> str | None:
    """Return the column with the day of a row of the table in a folder; None without days."""
    metadata = (each for each in live if each.startswith(f"{folder}/metadata/") and each.endswith(".json"))
    location = next(metadata, None)
    return read_metadata(location).properties.get(WINDOW_COLUMN) if location else None


def _expire(table: str, days: Collection[dt.date] | None, own: str) -> int:
    for _ in range(_ATTEMPTS):
        lake = LakeCatalog(MAIN_REF)
        with lock_tables(MAIN_REF, [table], run_id=WIPE) as conn:
            location = read_pointers(conn, MAIN_REF, [table]).get(table)
            if location is None:
                return 0
            metadata = read_metadata(location)
            due = [snapshot.snapshot_id for snapshot in _find_showing(metadata, days)]
            if not due and not metadata.metadata_log:
                return 0
            updates = (RemoveSnapshotsUpdate(snapshot_ids=due),) if due else ()
            new = update_table_metadata(metadata, updates).model_copy(update={"metadata_log": []})
            provider = load_location_provider(new.location, new.properties)
            target = provider.new_table_metadata_file_location(parse_metadata_version(location) + 1)
            write_metadata(new, target, lake.file_io())
            try:
                note = Note(WIPE, commit_id=own, client=find_user())
                swap(conn, MAIN_REF, [Move(table, location, target)], note)
            except PointerMoved:
                continue
            return len(due)
    raise PointerMoved(table)


def _find_showing(metadata: TableMetadata, days: Collection[dt.date] | None) -> Iterator[Snapshot]:
    """Yield the versions that are not current and may show rows of these days."""
    io, current = lake_io(), metadata.current_snapshot()
    kept = {file.file_path for file in _list_data(current, io)} if current else set()
    evaluator = _make_evaluator(metadata, days)
    for snapshot in metadata.snapshots:
        if current and snapshot.snapshot_id == current.snapshot_id:
            continue
        try:
            files = [file for file in _list_data(snapshot, io) if file.file_path not in kept]
        except FileNotFoundError:  # a wipe that was killed had deleted some
            yield snapshot
            continue
        if any(evaluator is None or evaluator.eval(file) != ROWS_MIGHT_NOT_MATCH for file in files):
            yield snapshot


def _make_evaluator(
    metadata: TableMetadata, days: Collection[dt.date] | None
) -> InclusiveMetricsEvaluator | None:
    column = metadata.properties.get(WINDOW_COLUMN)
    if days is None or not column:
        return None
    return InclusiveMetricsEvaluator(metadata.schema(), _make_filter(days, column))


def _make_filter(days: Collection[dt.date], column: str | None) -> BooleanExpression:
    return Windows(tuple(contiguous(days))).filter(column)


def _list_data(snapshot: Snapshot, io: PyArrowFileIO) -> list[DataFile]:
    return [
        entry.data_file
        for manifest in snapshot.manifests(io)
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
    ]


def _shows(location: str, days: Collection[dt.date] | None, main: str | None) -> bool:
    """Return whether the version at a metadata file has rows of these days; None: is another than main's."""
    metadata = read_metadata(location)
    column = metadata.properties.get(WINDOW_COLUMN)
    if metadata.current_snapshot() is None:
        return False
    if days is None or not column:
        return main is None or metadata.current_snapshot_id != read_metadata(main).current_snapshot_id
    scan = DataScan(metadata, lake_io(), row_filter=_make_filter(days, column), selected_fields=(column,))
    with name_read_errors(metadata.location):
        return scan.count() > 0


def _is_gone(holder: str) -> bool:
    """Return whether a pin's process was one of this machine that has ended."""
    word = holder.removeprefix("millpond ")
    if settings().scale or not word.isdigit() or int(word) == os.getpid():
        return False
    return not psutil.pid_exists(int(word))


def _may_hold(io: PyArrowFileIO, location: str, column: str, days: Collection[dt.date]) -> bool:
    """Return whether a Parquet file may have rows of these days; true if it cannot be read."""
    try:
        with io.new_input(location).open() as stream:
            footer = pq.ParquetFile(stream).metadata
    except (OSError, ValueError):
        return True
    names = [footer.schema.column(number).name for number in range(footer.num_columns)]
    if column not in names:
        return True
    number = names.index(column)
    for group in range(footer.num_row_groups):
        found = footer.row_group(group).column(number).statistics
        if found is None or not found.has_min_max or any(found.min <= day <= found.max for day in days):
            return True
    return False


def _name_table(folder: str) -> str:
    """Return the table that a folder `…/<layer>/<table>-<id>` belongs to."""
    layer, name = folder.split("/")[-2:]
    return f"{layer}.{name.rpartition('-')[0]}"
