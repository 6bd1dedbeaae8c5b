"""Compaction: many small files of a partition become few, and deleted rows leave them; no row changes.

The files are written beside other writers. Only the commit takes the table's lock: it replaces those files
that are still as they were read, and leaves the others to the next night.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, FileScanTask, Table
from pyiceberg.table.metadata import TableMetadata

from millpond.errors import LakeError
from millpond.internals.pyiceberg import ArrowScan
from millpond.lake.catalog import LakeCatalog
from millpond.lake.files import name_read_errors
from millpond.lake.layout import change_layout
from millpond.lake.metadata import read_metadata, read_summary
from millpond.lake.parquet import write_files
from millpond.lake.ref_log import COMPACT
from millpond.lake.schema import arrow_schema
from millpond.lake.staging import NEWEST_WRITTEN, Staging
from millpond.settings import settings

_SMALL = 4
"""A file is small below this part of the size that files are to have."""


@dataclass(frozen=True)
class Rewrite:
    """Files of one partition that become one; `deletes` are files that delete rows of them."""

    tasks: tuple[FileScanTask, ...]

    @property
    def files(self) -> list[DataFile]:
        """The data files to replace."""
        return [task.file for task in self.tasks]

    @property
    def deletes(self) -> set[str]:
        """The files of deleted rows that are not needed after it, unless other files need them."""
        return {file.file_path for task in self.tasks for file in task.delete_files}


@dataclass(frozen=True)
class Compaction:
    """What is due in a table of a ref, or was done; `added` are the files in place of the others then."""

    ref: str
    table: str
    location: str
    rewrites: tuple[Rewrite, ...]
    added: tuple[DataFile, ...] = ()

    @property
    def freed(self) -> int:
        """The bytes that the new files take less than those that they replace; 0 before it is done."""
        before = sum(file.file_size_in_bytes for rewrite in self.rewrites for file in rewrite.files)
        after = sum(file.file_size_in_bytes for file in self.added)
        return max(0, before - after) if self.added else 0

    @property
    def files_after(self) -> int:
        """How many files there are in their place."""
        return len(self.added) or len(self.rewrites)

    @property
    def files(self) -> int:
        """How many data files are replaced."""
        return sum(len(rewrite.tasks) for rewrite in self.rewrites)

    @property
    def deletes(self) -> int:
        """How many files of deleted rows are read in."""
        return len(set[str]().union(*(rewrite.deletes for rewrite in self.rewrites)))


def plan_compaction(ref: str, table: str, location: str) -> Compaction | None:
    """Return what is due in a table; None, mostly from its metadata alone, if nothing is."""
    metadata = read_metadata(location)
    snapshot = metadata.current_snapshot()
    least = settings().compaction_files
    if snapshot is None or metadata.format_version > NEWEST_WRITTEN:
        return None
    data, deleting = (
        int(read_summary(snapshot, f"total-{kind}-files") or least) for kind in ("data", "delete")
    )
    if data < least and deleting < least:
        return None
    parts: dict[tuple[int, object], list[FileScanTask]] = defaultdict(list)
    with name_read_errors(table):
        for task in DataScan(metadata, LakeCatalog(ref).file_io()).plan_files():
            parts[task.file.spec_id, task.file.partition].append(task)
    rewrites = [rewrite for tasks in parts.values() for rewrite in _choose_files(tasks, least)]
    return Compaction(ref, table, location, tuple(rewrites)) if rewrites else None


def _choose_files(tasks: Sequence[FileScanTask], least: int) -> Iterator[Rewrite]:
    """Yield the rewrites of a partition, if it has enough small files, or of enough deletes."""
    target = round(settings().compaction_file_mb * 1e6)
    small = [task for task in tasks if task.file.file_size_in_bytes < target / _SMALL]
    deleting = {file.file_path for task in tasks for file in task.delete_files}
    if len(small) < least and len(deleting) < least:
        return
    chosen = [task for task in tasks if task.delete_files or (task in small and len(small) >= least)]
    held: list[FileScanTask] = []
    size = 0
    for task in chosen:
        if held and size + task.file.file_size_in_bytes > target:
            yield Rewrite(tuple(held))
            held, size = [], 0
        held.append(task)
        size += task.file.file_size_in_bytes
    if len(held) > 1 or any(task.delete_files for task in held):
        yield Rewrite(tuple(held))


def compact(plan: Compaction) -> Compaction | None:
    """Do what is due, and return what was done; None if others changed all of the files meanwhile.

    Raises LockTimeout, StorageFailed; the table is as it was then.
    """
    lake = LakeCatalog(plan.ref)
    table = lake.table_at(plan.table, plan.location)
    try:
        with name_read_errors(plan.table):
            written = [(rewrite, _write(table, rewrite)) for rewrite in plan.rewrites]
        lake.created.flush()
        done = _commit_rewrites(plan, table.metadata, written)
    except BaseException:
        lake.discard()
        raise
    kept = {file.file_path for file in done.added} if done else set()
    lake.created[:] = [path for path in lake.created if path not in kept]
    lake.discard()
    return done


def _write(table: Table, rewrite: Rewrite) -> list[DataFile]:
    """Write the rows of a rewrite, sorted, into one file; raises LakeError if it has other rows than they."""
    metadata, target = table.metadata, arrow_schema(table.schema())
    scan = ArrowScan(metadata, table.io, metadata.schema(), AlwaysTrue())
    batches = (batch for task in rewrite.tasks for batch in scan.to_record_batches([task]))
    rows = pa.concat_tables(
        [target.empty_table(), *(pa.Table.from_batches([b]).cast(target) for b in batches)]
    )
    declared = table.properties
    order = declared.get("millpond.sort_by") or declared.get("millpond.window_column") or ""
    files = write_files(
        Staging(table, is_new=False), [rows.combine_chunks()], tuple(filter(None, order.split(",")))
    )
    if sum(file.record_count for file in files) != rows.num_rows:
        raise LakeError(
            f"compaction of {'.'.join(table.name())} wrote other rows than it read",
            unharmed="the table; nothing of it is visible",
            next_step="report this, with the table's schema",
        )
    return files


def _commit_rewrites(
    plan: Compaction, then: TableMetadata, written: Sequence[tuple[Rewrite, list[DataFile]]]
) -> Compaction | None:
    done: list[Compaction] = []

    def stage(staging: Staging, properties: Mapping[str, str]) -> bool:
        if _describe(staging.table_metadata) != _describe(then):
            return False
        with name_read_errors(plan.table):
            tasks = list(staging.table.scan().plan_files())
        now = {task.file.file_path: _name_deletes(task) for task in tasks}
        fit = [
            (rewrite, files)
            for rewrite, files in written
            if all(now.get(task.file.file_path) == _name_deletes(task) for task in rewrite.tasks)
        ]
        added = tuple(file for _, files in fit for file in files)
        removed = [file for rewrite, _ in fit for file in rewrite.files]
        gone = {file.file_path for file in removed}
        needed = set[str]().union(*(_name_deletes(t) for t in tasks if t.file.file_path not in gone))
        staging.rewrite_files(removed, added, needed, properties)
        done[:] = [replace(plan, rewrites=tuple(rewrite for rewrite, _ in fit), added=added)]
        return bool(fit)

    return done[0] if change_layout(plan.ref, plan.table, COMPACT, stage) else None


def _describe(metadata: TableMetadata) -> tuple[object, ...]:
    """Return what must not have changed while files were written."""
    return metadata.table_uuid, metadata.current_schema_id, metadata.default_spec_id


def _name_deletes(task: FileScanTask) -> frozenset[str]:
    return frozenset(file.file_path for file in task.delete_files)
