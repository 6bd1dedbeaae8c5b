"""Rebasing: a branch's days are replaced anew on what its base has become, if nobody else changed them."""

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
from millpond.lake.catalog import LakeCatalog
from millpond.lake.change import Change, prepare_change
from millpond.lake.commit import commit_definitely
from millpond.lake.connect import pooled
from millpond.lake.datafiles import Touched
from millpond.lake.diffs import changed
from millpond.lake.files import flush
from millpond.lake.history import read_note, windows_since
from millpond.lake.metadata import metadata_at
from millpond.lake.most_rows import PROPERTY as MOST_ROWS
from millpond.lake.most_rows import Keeping
from millpond.lake.pointers import Move, Note, move, pointers
from millpond.lake.rows import Rows, gather
from millpond.lake.schema import arrow_schema
from millpond.lake.spec import TableSpec
from millpond.lake.staging import Staging
from millpond.lake.windows import Windows


@dataclass(frozen=True)
class _Step:
    """One table's way from its old base to the present one: pointers of base and branch, then and now."""

    table: str
    base: str | None
    branch: str
    new_base: str
    new_branch: str


def rebase_tables(ref: str, into: str, tables: Sequence[str]) -> set[str]:
    """Put what the branch `ref` changed in `tables` on top of their present state in `into`.

    Returns the tables that were rebased. Raises MergeConflict if both sides changed the same days,
    PointerMoved if the branch is being written meanwhile.
    """
    lake = LakeCatalog(ref)
    with pooled() as conn:
        heads = pointers(conn, into, tables)
        moves = [m for m in changed(conn, ref) if m.table in tables and m.old != heads.get(m.table)]
        if refused := {m.table: why for m in moves if (why := _refusal(m, heads.get(m.table)))}:
            raise conflict(ref, into, refused)
        try:
            steps = [_rebase(lake, into, m, heads[m.table]) for m in moves]
        except BaseException:
            lake.discard()
            raise
        flush(lake.created)
        commit_definitely(
            conn, ref, Note("rebase", other_ref=into), lambda inner, note: _apply(inner, ref, steps, note)
        )
    return {step.table for step in steps}


def _refusal(m: Move, head: str | None) -> str | None:
    """Return why what a branch did to a table cannot be put on top of what its base has become."""
    if m.new is None or head is None:
        return "dropped on one side, changed on the other"
    base, mine = metadata_at(m.old) if m.old else None, metadata_at(m.new)
    if base is not None and _layout(mine) != _layout(base):
        return "the branch changed its properties or partitioning"
    if both := windows_since(mine, base) & windows_since(metadata_at(head), base):
        return f"{'all of it' if both.parts is None else f'the days {both}'} changed on both sides"
    return None


def _rebase(lake: LakeCatalog, into: str, m: Move, head: str) -> _Step:
    assert m.new is not None
    days = windows_since(metadata_at(m.new), metadata_at(m.old) if m.old else None)
    try:
        change = _replay(lake, m, head, days)
    except SchemaConflict as error:
        raise conflict(lake.name, into, {m.table: error.what}) from error
    _, location = change.staging.finished()
    return _Step(m.table, m.old, m.new, head, location)


def _replay(lake: LakeCatalog, m: Move, head: str, days: Windows) -> Change:
    source = lake.table_at(m.table, m.new or "")
    schema = arrow_schema(source.schema())
    told = source.properties
    order = tuple(filter(None, told.get("millpond.sort_by", "").split(",")))
    spec = TableSpec(m.table, schema, told.get("millpond.window_column"), sort_by=order)
    snapshot = source.current_snapshot()
    properties = {
        "millpond.run_id": (read_note(snapshot, "millpond.run_id") if snapshot else None) or "",
        "millpond.commit_id": uuid.uuid4().hex,
        "millpond.rebased_from": str(snapshot.snapshot_id) if snapshot else "",
    }
    rows = _BranchRows(source, days, spec.window_column)
    keeping: Keeping | None = "record" if MOST_ROWS in told else None
    return prepare_change(lake, head, spec, rows, days, properties, keeping=keeping)


class _BranchRows(Rows):
    """The rows of some days of a table, as the new rows of another."""

    def __init__(self, table: Table, days: Windows, day_column: str | None) -> None:
        self.table = ".".join(table.name())
        self.schemas = [arrow_schema(table.schema())]
        self._found = Touched.find(Staging(table, is_new=False), days, day_column)

    @override
    def raw_pieces(self) -> Iterator[pa.Table]:
        return gather(self._found.inside())


def _apply(conn: psycopg.Connection, ref: str, steps: Sequence[_Step], note: Note) -> None:
    move(conn, ref, [Move(s.table, s.branch, s.new_branch) for s in steps], note)
    for s in steps:
        conn.execute(
            "insert into lake_branch_bases (ref, table_namespace, table_name, metadata_location)"
            " values (%s, %s, %s, %s) on conflict (ref, table_namespace, table_name)"
            " do update set metadata_location = excluded.metadata_location",
            (ref, *s.table.split(".", 1), s.new_base),
        )


def _layout(metadata: TableMetadata) -> tuple[object, ...]:
    properties = {name: value for name, value in metadata.properties.items() if name != MOST_ROWS}
    return properties, metadata.spec().fields, metadata.sort_order().fields, metadata.location


def conflict(ref: str, into: str, tables: Mapping[str, str]) -> MergeConflict:
    """Return the error for a branch whose tables were changed in the ref it goes to as well."""
    told = "; ".join(f"{table}: {why}" for table, why in sorted(tables.items()))
    return MergeConflict(
        f"branch {ref} cannot be merged into {into}: {told}",
        unharmed=f"{into} and the branch; nothing moved",
        next_step=f"see what the branch holds (`millpond branch diff {ref}`); then materialize those days"
        f" again on a new branch of {into}, and drop this one: `millpond branch drop {ref}`",
        tables=tables,
    )
