"""Adopting rows that another engine wrote: its data files become part of a table, in one snapshot.

Trino writes a model's result into a separate table on the same branch. That table's files are added to the
model's table without reading or copying a row; then its pointer is removed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, Table
from pyiceberg.table.metadata import TableMetadata

from millpond.internals.pyiceberg import ROWS_MUST_MATCH, StrictMetricsEvaluator
from millpond.lake.catalog import LakeCatalog
from millpond.lake.change import Change
from millpond.lake.created_files import CreatedFiles
from millpond.lake.datafiles import widen_to_partitions
from millpond.lake.files import name_read_errors
from millpond.lake.hashing import Digests, hash_digests
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import write_metadata
from millpond.lake.pointers import Move, Note, read_pointers
from millpond.lake.schema import arrow_schema
from millpond.lake.schema_evolution import open_table
from millpond.lake.spec import TableSpec, Written
from millpond.lake.staging import Staging
from millpond.lake.values import refuse_bounds
from millpond.lake.windows import Windows

Insert = Callable[[str, str, list[str], str], None]
"""Has the engine insert rows: into a table, from a table, these columns, where a condition holds."""


@dataclass(frozen=True)
class Adoption:
    """A model's result in the table `result` on the branch `ref`, and the table that it goes into.

    `before` and `after` are the digests of the window's rows in the table and in the result, if known.
    """

    ref: str
    run_id: str
    spec: TableSpec
    result: str
    windows: Windows
    before: Digests
    after: Digests
    insert: Insert


def adopt(a: Adoption) -> Written:
    """Replace the window of the table with the rows of the result, and remove the result.

    Raises SchemaConflict, LockTimeout, StorageFailed; the table is unchanged in each case.
    """
    lake = LakeCatalog(a.ref)
    with lock_tables(a.ref, [a.spec.name], run_id=a.run_id) as conn:
        found = read_pointers(conn, a.ref, [a.spec.name, a.result])
        note = Note("replace", a.run_id, commit_id=uuid.uuid4().hex)
        try:
            change, obsolete = _prepare(lake, a, found.get(a.spec.name), note)
            metadata, location = change.staging.finish()
        except BaseException:
            lake.discard()
            raise
        here = read_pointers(conn, a.ref, obsolete)
        moves = [Move(name, at, None) for name, at in here.items()]
        if change.staging.changed:
            moves.append(Move(a.spec.name, change.staging.old_location, location))
        lake.point(conn, moves, note)
    return change.report(metadata.current_snapshot_id, location)


def _prepare(lake: LakeCatalog, a: Adoption, location: str | None, note: Note) -> tuple[Change, list[str]]:
    """Return the change and the names of the tables that are not needed after it."""
    result = lake.load_table(a.result)
    whole = a.windows.parts is None
    staging = open_table(lake, location, a.spec, [arrow_schema(result.schema())], whole=whole)
    if a.before == a.after and location is not None and not staging.changed:
        return Change(a.spec.name, a.windows, staging, [], a.after, content_changed=False), [a.result]
    obsolete, source = [a.result], a.result
    if not _fits(result.metadata, staging.table_metadata):
        source = f"{a.result}_fitted"
        _add_empty_copy(lake, staging, source)
        a.insert(source, a.result, result.schema().column_names, "true")
        obsolete.append(source)
    removed, partly = _find_files_to_remove(staging, a.windows, a.spec.window_column)
    if partly:
        known = staging.table.schema().column_names
        columns = [name for name in staging.table_metadata.schema().column_names if name in known]
        a.insert(source, a.spec.name, columns, _exclude_window(staging, a))
    added = _list_files(lake.load_table(source)) if a.after or partly else []
    refuse_bounds(a.spec.name, staging.table_metadata.schema(), added)
    summary = {
        "millpond.run_id": note.run_id,
        "millpond.commit_id": note.commit_id or "",
        "millpond.window": str(a.windows),
        "millpond.content_hash": hash_digests(a.after),
        "millpond.rows_added": str(sum(d.rows for d in a.after.values())),
        "millpond.rows_removed": str(sum(d.rows for d in a.before.values())),
    }
    if removed or added:
        staging.replace_files(removed, added, summary)
    return Change(
        a.spec.name, a.windows, staging, added, a.after, content_changed=a.before != a.after
    ), obsolete


def _fits(result: TableMetadata, target: TableMetadata) -> bool:
    """Return whether files of one can be files of the other: the same columns by id, and partitions."""
    fields = [
        [(f.field_id, f.name, f.field_type) for f in metadata.schema().fields]
        for metadata in (result, target)
    ]
    parts = [[(f.source_id, f.field_id, str(f.transform)) for f in m.spec().fields] for m in (result, target)]
    return fields[0] == fields[1] and parts[0] == parts[1] and result.spec().spec_id == target.spec().spec_id


def _add_empty_copy(lake: LakeCatalog, staging: Staging, name: str) -> None:
    """Add an empty table to the branch whose columns have the same ids as in the table."""
    like = staging.table_metadata
    place = lake._resolve_table_location(None, *name.split("."))
    metadata = like.model_copy(
        update={
            "table_uuid": uuid.uuid4(),
            "location": place,
            "snapshots": [],
            "current_snapshot_id": None,
            "snapshot_log": [],
            "metadata_log": [],
            "refs": {},
            "last_sequence_number": 0,
        }
    )
    location = f"{place}/metadata/00000-{uuid.uuid4()}.metadata.json"
    write_metadata(metadata, location, staging.table.io)
    CreatedFiles([location]).flush()
    lake._swap([Move(name, None, location)], "create")


def _find_files_to_remove(
    staging: Staging, windows: Windows, day_column: str | None
) -> tuple[list[DataFile], bool]:
    """Return the files of every partition that the window touches; and whether they hold other rows too."""
    metadata, exact = staging.table_metadata, windows.filter(day_column)
    wide = widen_to_partitions(metadata, windows, day_column)
    with name_read_errors(".".join(staging.table.name())):
        scan = DataScan(metadata, staging.table.io, row_filter=wide or exact)
        files = [task.file for task in scan.plan_files()]
    if windows.parts is None or day_column is None:
        return files, False
    inside = StrictMetricsEvaluator(metadata.schema(), exact)
    return files, any(inside.eval(file) != ROWS_MUST_MATCH for file in files)


def _exclude_window(staging: Staging, a: Adoption) -> str:
    """Return the SQL condition of the rows that share partitions with the window but are not in it."""
    column = a.spec.window_column
    wide = widen_to_partitions(staging.table_metadata, a.windows, column)
    outside = f"not coalesce({a.windows.sql(column)}, false)"
    by_month = bool(staging.table_metadata.spec().fields) and wide is not None
    return f"{a.windows.months().sql(column)} and {outside}" if by_month else outside


def _list_files(table: Table) -> list[DataFile]:
    with name_read_errors(".".join(table.name())):
        return [task.file for task in table.scan().plan_files()]
