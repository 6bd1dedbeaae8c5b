"""One table's part of a write: compare old and new rows, write the files, stage the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.manifest import DataFile

from millpond.errors import ConfigError, SchemaConflict
from millpond.lake.catalog import LakeCatalog
from millpond.lake.datafiles import TouchedFiles
from millpond.lake.hashing import HASHING, Digest, Digests, combine_digests, compute_digests, hash_digests
from millpond.lake.metadata import find_recorded_hash
from millpond.lake.most_rows import Keeping, MostRows, keep_most_rows, read_most_rows
from millpond.lake.parquet import write_files
from millpond.lake.rows import Rows, refuse_outside
from millpond.lake.schema import arrow_schema
from millpond.lake.schema_evolution import open_table
from millpond.lake.spec import TableSpec, Written
from millpond.lake.staging import Staging
from millpond.lake.values import refuse_values
from millpond.lake.windows import Windows


@dataclass(frozen=True)
class Change:
    """The change to commit to one table."""

    table: str
    windows: Windows
    staging: Staging
    files: list[DataFile]
    digests: Digests
    content_changed: bool

    def report(self, snapshot_id: int | None, location: str) -> Written:
        """Return the report of this change, committed as `snapshot_id`, with its metadata file."""
        days = self.windows.days or [d for d in self.digests if d]
        return Written(
            table=self.table,
            changed=self.content_changed or self.staging.is_new,
            rows=sum(d.rows for d in self.digests.values()),
            bytes=sum(f.file_size_in_bytes for f in self.files),
            snapshot_id=snapshot_id,
            content_hash=hash_digests(self.digests),
            day_hashes={day: self.digests.get(day, Digest()).hex for day in sorted(days)},
            location=location,
        )


def prepare_change(
    lake: LakeCatalog,
    location: str | None,
    spec: TableSpec,
    rows: Rows,
    windows: Windows,
    properties: dict[str, str],
    check: Callable[[Digests, Digests, MostRows], None] | None = None,
    keeping: Keeping | None = None,
) -> Change:
    """Write the data files with which `windows` of the table at `location` have exactly `rows`.

    If the table already has the same rows, nothing is written; they are read only if no snapshot recorded
    their hash. One of which files are lost can be replaced as
    a whole. `properties` go into the snapshot's summary, with window, content hash and row counts. `check`
    may refuse the change; `keeping` says whether the most rows of the days are recorded or forgotten.
    """
    staging = open_table(lake, location, spec, rows.schemas, whole=windows.parts is None, rewrites=True)
    target = arrow_schema(staging.table_metadata.schema())
    day_column = _get_day_column(spec, target, windows)
    touched = TouchedFiles.find(staging, windows, day_column, erases=keeping == "forget")
    after = combine_digests(
        compute_digests(piece, day_column) for piece in _check_rows(lake, rows, target, day_column, windows)
    )
    content_hash, lost = hash_digests(after), False
    recorded = find_recorded_hash(staging.table_metadata, windows) if not staging.old_schema else None
    if not (check or keeping) and recorded not in (None, content_hash):
        rows_removed, differs = touched.count(), True
    else:
        try:
            same = recorded == content_hash and touched.are_in_place()
            before = after if same else touched.digests()
        except FileNotFoundError:
            if check or windows.parts is not None:
                raise
            before, lost = {}, True  # all of it is replaced, so that what it was need not be known
            touched.remove_all()
        if check:
            check(before, after, read_most_rows(staging.table_metadata.properties))
        if keeping:
            keep_most_rows(staging, windows.days, before, after, keeping)
        rows_removed, differs = sum(d.rows for d in before.values()), lost or before != after
        if not differs and not touched.must_go:
            return Change(spec.name, windows, staging, [], after, content_changed=False)
    files = write_files(
        staging,
        touched.insert(rows.pieces(target)),
        spec.sort_by or ((day_column,) if day_column else ()),
    )
    summary = {
        "millpond.window": str(windows),
        "millpond.content_hash": content_hash,
        "millpond.hashing": HASHING,
        "millpond.rows_added": str(sum(d.rows for d in after.values())),
        "millpond.rows_removed": str(rows_removed),
    }
    staging.replace_files(touched.removed, files, {**properties, **summary})
    return Change(spec.name, windows, staging, files, after, content_changed=differs)


def _check_rows(
    lake: LakeCatalog, rows: Rows, target: pa.Schema, day_column: str | None, windows: Windows
) -> Iterator[pa.Table]:
    for piece in rows.pieces(target):
        lake.created.refuse_closed()
        refuse_values(rows.table, piece)
        if day_column and windows.parts is not None:
            refuse_outside(rows.table, piece, day_column, windows)
        yield piece


def _get_day_column(spec: TableSpec, target: pa.Schema, windows: Windows) -> str | None:
    column = spec.window_column
    if column is None and windows.parts:
        raise ConfigError(
            f"table {spec.name} has no window column, so no window of it can be replaced",
            next_step="name its date column in the spec, or replace the whole table",
        )
    if column is None:
        return None
    if column not in target.names or not pa.types.is_date32(target.field(column).type):
        raise SchemaConflict(
            f"{spec.name} has no date column {column}, by which the window is replaced",
            unharmed="the table; nothing of this write is visible",
            next_step="add the column to the data, or name another window column in the spec",
        )
    return column
