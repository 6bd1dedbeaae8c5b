"""Two versions of a table: the rows that may differ, read from no more files than necessary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import DataScan, FileScanTask
from pyiceberg.table.metadata import TableMetadata

from millpond.internals.pyiceberg import ArrowScan
from millpond.lake.files import lake_io, name_read_errors
from millpond.lake.metadata import find_windows_since
from millpond.lake.schema import arrow_schema
from millpond.lake.windows import Windows
from millpond.naming import LINEAGE_COLUMNS


@dataclass(frozen=True)
class Version:
    """One side of a comparison; `metadata` is None for a table that does not exist."""

    metadata: TableMetadata | None
    tasks: tuple[FileScanTask, ...]
    row_filter: BooleanExpression

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row, as the table declares them."""
        declared = self.metadata.properties.get("millpond.key", "") if self.metadata else ""
        return tuple(filter(None, declared.split(",")))

    def schema(self) -> pa.Schema:
        """Return the columns that count as content: all but lineage, unless that is part of the key."""
        if self.metadata is None:
            return pa.schema([])
        left_out = set(LINEAGE_COLUMNS) - set(self.key)
        return pa.schema([f for f in arrow_schema(self.metadata.schema()) if f.name not in left_out])

    def rows(self) -> pa.RecordBatchReader:
        """Return the rows as a stream, one file after another."""
        schema = self.schema()
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        if self.metadata is None or not self.tasks:
            return
        wanted = self.metadata.schema().select(*schema.names)
        scan = ArrowScan(self.metadata, lake_io(), wanted, self.row_filter)
        for task in self.tasks:
            for batch in scan.to_record_batches([task]):
                yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()


def diff_versions(then: TableMetadata | None, now: TableMetadata | None) -> tuple[Version, Version, Windows]:
    """Return the rows of two versions that must be compared, and their days.

    Rows of shared files are the same in both, and so are rows outside the windows that were replaced in
    between. Together the two sides have every row that differs.
    """
    windows = find_windows_since(now, then) if now is not None else Windows(None)
    before, after = _make_version(then, windows), _make_version(now, windows)
    shared = {_get_contents(t) for t in before.tasks} & {_get_contents(t) for t in after.tasks}
    return _drop_shared(before, shared), _drop_shared(after, shared), windows


_Contents = tuple[str, frozenset[str]]


def _get_contents(task: FileScanTask) -> _Contents:
    return task.file.file_path, frozenset(f.file_path for f in task.delete_files)


def _drop_shared(version: Version, shared: set[_Contents]) -> Version:
    tasks = tuple(t for t in version.tasks if _get_contents(t) not in shared)
    return Version(version.metadata, tasks, version.row_filter)


def _make_version(metadata: TableMetadata | None, windows: Windows) -> Version:
    if metadata is None or not windows:
        return Version(metadata, (), AlwaysTrue())
    row_filter = windows.filter(metadata.properties.get("millpond.window_column"))
    with name_read_errors(metadata.location):
        tasks = DataScan(metadata, lake_io(), row_filter=row_filter).plan_files()
        return Version(metadata, tuple(tasks), row_filter)
