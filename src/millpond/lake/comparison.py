"""What a branch changed, row by row, compared with its base then and now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from millpond.errors import TableNotFound
from millpond.lake.branches import get_base
from millpond.lake.connect import borrow_connection
from millpond.lake.delta import Delta, compute_delta
from millpond.lake.metadata import find_windows_since, read_metadata
from millpond.lake.pointers import refresh_pointers
from millpond.lake.versions import Version, diff_versions
from millpond.lake.windows import NOTHING
from millpond.runtime.extensions import open_duckdb

_POINTERS = """
select r.base, r.created_at, table_namespace || '.' || table_name,
    b.metadata_location, t.metadata_location, n.metadata_location
from lake_refs r left join (
    (select * from lake_branch_bases where ref = %(ref)s and iceberg_type = 'TABLE') b
    full join (select * from iceberg_tables where catalog_name = %(ref)s
        and coalesce(iceberg_type, 'TABLE') = 'TABLE') t
        using (table_namespace, table_name)
    full join (select * from iceberg_tables where catalog_name = (
        select base from lake_refs where name = %(ref)s)
        and coalesce(iceberg_type, 'TABLE') = 'TABLE') n using (table_namespace, table_name)
) on true
where r.name = %(ref)s
order by table_namespace, table_name
"""


@dataclass(frozen=True)
class TableComparison:
    """What happened to the rows of one table on a branch.

    `windows` are the days that the branch replaced, `base_moved` those that the base replaced since the
    branch was created, `both` the days in both, on which a merge is refused; each `none`, days or `all`.
    """

    table: str
    change: Literal["created", "changed", "dropped"]
    windows: str
    key: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: tuple[str, ...]
    base_moved: str
    both: str
    rows: Delta


@dataclass(frozen=True)
class Comparison:
    """A branch against the ref it was created from; `moved` are tables that changed there since."""

    ref: str
    base: str
    created_at: dt.datetime
    tables: tuple[TableComparison, ...]
    moved: tuple[str, ...]


@dataclass(frozen=True)
class _Pointers:
    table: str
    then: str | None
    now: str | None
    base_now: str | None


def compare(ref: str, tables: Sequence[str] | None = None, *, samples: int = 0) -> Comparison:
    """Compare a branch with its base as it was when the branch was created (or last rebased or merged).

    Compares all changed tables, or only `tables`, by their keys. LINEAGE_COLUMNS do not count.
    Raises RefNotFound, LakeError for main, TableNotFound for a table that neither side has.
    """
    with borrow_connection() as conn:
        for name in (ref, get_base(conn, ref)):
            refresh_pointers(conn, name)
        rows = conn.execute(_POINTERS, {"ref": ref}).fetchall()
    base, created_at = rows[0][:2]
    pointers = [_Pointers(*row[2:]) for row in rows if row[2]]
    _refuse_unknown(ref, tables, {p.table for p in pointers})
    due = [p for p in pointers if p.now != p.then and (tables is None or p.table in tables)]
    with open_duckdb() as connection:
        compared = tuple(_compare_table(connection, p, samples) for p in due)
    return Comparison(
        ref, base, created_at, compared, tuple(p.table for p in pointers if p.base_now != p.then)
    )


def _compare_table(connection: duckdb.DuckDBPyConnection, p: _Pointers, samples: int) -> TableComparison:
    then, now, base_now = (read_metadata(at) if at else None for at in (p.then, p.now, p.base_now))
    before, after, windows = diff_versions(then, now)
    base_windows = find_windows_since(base_now, then) if base_now is not None else None
    if p.base_now == p.then:
        base_moved, both = NOTHING, NOTHING
    elif base_windows is None or now is None:
        base_moved = both = "all"
    else:
        base_moved, both = str(base_windows), str(base_windows & windows)
    key = _find_key(before, after)
    return TableComparison(
        table=p.table,
        change="dropped" if now is None else "created" if then is None else "changed",
        windows=str(windows),
        key=key,
        columns_added=_list_only_in(after.schema(), before.schema()) if then else (),
        columns_removed=_list_only_in(before.schema(), after.schema()) if now else (),
        columns_retyped=tuple(_find_retyped(before.schema(), after.schema())),
        base_moved=base_moved,
        both=both,
        rows=compute_delta(connection, before, after, key, samples),
    )


def _find_key(before: Version, after: Version) -> tuple[str, ...]:
    """Return the key by which both sides can be compared; empty if one side lacks a part of it."""
    key = after.key or before.key
    there = [set(v.schema().names) for v in (before, after) if v.metadata is not None]
    return key if all(names.issuperset(key) for names in there) else ()


def _list_only_in(one: pa.Schema, other: pa.Schema) -> tuple[str, ...]:
    return tuple(name for name in one.names if name not in other.names)


def _find_retyped(before: pa.Schema, after: pa.Schema) -> Iterable[str]:
    for column in after:
        if column.name in before.names and before.field(column.name).type != column.type:
            yield f"{column.name}: {before.field(column.name).type} → {column.type}"


def _refuse_unknown(ref: str, wanted: Sequence[str] | None, known: set[str]) -> None:
    if unknown := sorted(set(wanted or ()) - known):
        raise TableNotFound(
            f"there is no table {', '.join(unknown)} on ref {ref}, nor on the ref it was created from",
            unharmed="everything; nothing was compared",
            next_step=f"`millpond branch diff {ref}` without --table shows every table that changed",
        )
