"""Rebasing: a branch's days replace those of the present base, if the base did not change them too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from typing_extensions import override

from millpond.errors import MergeConflict, SchemaConflict
from millpond.lake.branches import list_changes
from millpond.lake.catalog import LakeCatalog
from millpond.lake.change import Change, prepare_change
from millpond.lake.commit import commit_definitely
from millpond.lake.connect import borrow_connection
from millpond.lake.datafiles import TouchedFiles
from millpond.lake.metadata import find_windows_since, read_metadata, read_summary
from millpond.lake.most_rows import PROPERTY as MOST_ROWS
from millpond.lake.most_rows import Keeping
from millpond.lake.parallel import write_each
from millpond.lake.pointers import Move, Note, move_pointers, read_pointers
from millpond.lake.rows import Rows, gather
from millpond.lake.schema import arrow_schema
from millpond.lake.spec import TableSpec
from millpond.lake.staging import Staging
from millpond.lake.windows import Windows


@dataclass(frozen=True)
class _Step:
    """One table's move from its old base to the present one: pointers of base and branch, old and new."""

    table: str
    base: str | None
    branch: str
    new_base: str
    new_branch: str


def rebase_tables(ref: str, into: str, tables: Sequence[str]) -> set[str]:
    """Apply what the branch `ref` changed in `tables` to their present state in `into`.

    Returns the rebased tables. Raises MergeConflict if both sides changed the same days, PointerMoved if
    the branch is written meanwhile.
    """
    lake = LakeCatalog(ref)
    with borrow_connection() as conn:
        heads = read_pointers(conn, into, tables)
        moves = [m for m in list_changes(conn, ref) if m.table in tables and m.old != heads.get(m.table)]
        if refused := {m.table: why for m in moves if (why := _find_conflict(m, heads.get(m.table)))}:
            raise conflict_error(ref, into, refused)
        try:
            steps = write_each(lambda m: _rebase(lake, into, m, heads[m.table]), moves, lake.created)
        except BaseException:
            lake.discard()
            raise
        lake.created.flush()
        commit_definitely(
            conn,
            ref,
            Note("rebase", other_ref=into),
            lambda inner, note: _apply(inner, ref, steps, note),
        )
    return {step.table for step in steps}


def _find_conflict(m: Move, head: str | None) -> str | None:
    """Return why what a branch changed in a table cannot be applied to its present base; None if it can."""
    if m.kind == "VIEW":
        return "the view was changed on both sides"
    if m.new is None or head is None:
        return "dropped on one side, changed on the other"
    base, mine = read_metadata(m.old) if m.old else None, read_metadata(m.new)
    if base is not None and _describe_layout(mine) != _describe_layout(base):
        return "the branch changed its properties or partitioning"
    if both := find_windows_since(mine, base) & find_windows_since(read_metadata(head), base):
        return f"{'all of it' if both.parts is None else f'the days {both}'} changed on both sides"
    return None


def _rebase(lake: LakeCatalog, into: str, m: Move, head: str) -> _Step:
    assert m.new is not None
    days = find_windows_since(read_metadata(m.new), read_metadata(m.old) if m.old else None)
    try:
        change = _replay(lake, m, head, days)
    except SchemaConflict as error:
        raise conflict_error(lake.name, into, {m.table: error.what}) from error
    _, location = change.staging.finish()
    return _Step(m.table, m.old, m.new, head, location)


def _replay(lake: LakeCatalog, m: Move, head: str, days: Windows) -> Change:
    source = lake.table_at(m.table, m.new or "")
    schema = arrow_schema(source.schema())
    declared = source.properties
    order = tuple(filter(None, declared.get("millpond.sort_by", "").split(",")))
    spec = TableSpec(m.table, schema, declared.get("millpond.window_column"), sort_by=order)
    snapshot = source.current_snapshot()
    properties = {
        "millpond.run_id": (read_summary(snapshot, "millpond.run_id") if snapshot else None) or "",
        "millpond.commit_id": uuid.uuid4().hex,
        "millpond.rebased_from": str(snapshot.snapshot_id) if snapshot else "",
    }
    rows = _BranchRows(source, days, spec.window_column)
    keeping: Keeping | None = "record" if MOST_ROWS in declared else None
    return prepare_change(lake, head, spec, rows, days, properties, keeping=keeping)


class _BranchRows(Rows):
    """The rows of some days of a table, as the new rows of another."""

    def __init__(self, table: Table, days: Windows, day_column: str | None) -> None:
        self.table = ".".join(table.name())
        self.schemas = [arrow_schema(table.schema())]
        self._found = TouchedFiles.find(Staging(table, is_new=False), days, day_column)

    @override
    def raw_pieces(self) -> Iterator[pa.Table]:
        return gather(self._found.read_inside())


def _apply(conn: psycopg.Connection, ref: str, steps: Sequence[_Step], note: Note) -> None:
    move_pointers(conn, ref, [Move(s.table, s.branch, s.new_branch) for s in steps], note)
    for s in steps:
        conn.execute(
            "insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
            " values (%s, %s, %s, %s) on conflict (ref, table_namespace, table_name)"
            " do update set metadata_location = excluded.metadata_location",
            (ref, *s.table.rsplit(".", 1), s.new_base),
        )


def _describe_layout(metadata: TableMetadata) -> tuple[object, ...]:
    properties = {name: value for name, value in metadata.properties.items() if name != MOST_ROWS}
    return properties, metadata.spec().fields, metadata.sort_order().fields, metadata.location


def conflict_error(ref: str, into: str, tables: Mapping[str, str]) -> MergeConflict:
    """Return the error for a branch whose tables were changed in the ref it goes to as well."""
    reasons = "; ".join(f"{table}: {why}" for table, why in sorted(tables.items()))
    return MergeConflict(
        f"branch {ref} cannot be merged into {into}: {reasons}",
        unharmed=f"{into} and the branch; nothing moved",
        next_step=f"look at the branch (`millpond branch diff {ref}`); then materialize those days"
        f" again on a new branch of {into}, and drop this one: `millpond branch drop {ref}`",
        tables=tables,
    )
