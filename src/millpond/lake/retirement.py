"""Retiring a table from a ref, restoring and renaming it: pointers move, files and history stay."""

from __future__ import annotations

from collections.abc import Sequence

from millpond.errors import TableNotFound
from millpond.lake.commit import swap
from millpond.lake.connect import pooled
from millpond.lake.locks import table_locks
from millpond.lake.metadata import metadata_at
from millpond.lake.pointers import Move, Note, PointerMoved, pointers
from millpond.naming import table_name

_LAST = """
select old_location from lake_ref_log where ref = %s and action = 'retire'
and table_namespace || '.' || table_name = %s order by id desc limit 1
"""


def retire(table: str, *, ref: str) -> None:
    """Take `table` out of `ref`. Its files stay until housekeeping removes what no ref leads to.

    Raises TableNotFound, LockTimeout.
    """
    with table_locks(ref, [table], run_id="retire") as conn:
        location = pointers(conn, ref, [table]).get(table)
        if location is None:
            raise _missing(table, ref)
        swap(conn, ref, [Move(table, location, None)], Note("retire"))


def restore(table: str, *, ref: str) -> None:
    """Bring back `table` as it was when it was last retired from `ref`.

    Raises TableNotFound if it never was, its files are gone, or there is another table of its name.
    """
    with pooled() as conn:
        found = conn.execute(_LAST, (ref, table)).fetchone()
    if found is None:
        raise _missing(table, ref, "it was never retired")
    try:
        metadata_at(found[0])
    except OSError as error:
        raise _missing(table, ref, "its files were removed by housekeeping") from error
    _move([Move(table, None, found[0])], ref, "restore")


def rename(table: str, new: str, *, ref: str) -> None:
    """Give `table` the name `new`, with all its history. Raises TableNotFound, or if `new` is there."""
    table_name(new)
    with pooled() as conn:
        location = pointers(conn, ref, [table]).get(table)
    if location is None:
        raise _missing(table, ref)
    _move([Move(table, location, None), Move(new, None, location)], ref, "rename")


def _move(moves: Sequence[Move], ref: str, action: str) -> None:
    with table_locks(ref, [m.table for m in moves], run_id=action) as conn:
        try:
            swap(conn, ref, moves, Note(action))
        except PointerMoved as error:
            names = ", ".join(m.table for m in moves if m.new)
            raise TableNotFound(
                f"{action} of {moves[0].table}: {names} is on ref {ref} already, or it has changed",
                unharmed="every table; nothing was moved",
                next_step="`millpond tables` lists the tables",
            ) from error


def _missing(table: str, ref: str, why: str = "") -> TableNotFound:
    return TableNotFound(
        f"there is no table {table} on ref {ref}" + (f" to restore: {why}" if why else ""),
        unharmed="every table; nothing was moved",
        next_step="`millpond retire` lists the tables without a model",
    )
