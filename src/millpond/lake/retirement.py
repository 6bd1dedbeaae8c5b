"""Retiring a table from a ref, restoring and renaming it: pointers move, files and history stay."""

from __future__ import annotations

from collections.abc import Sequence

from millpond.errors import TableNotFound
from millpond.lake.commit import swap
from millpond.lake.connect import borrow_connection
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import read_metadata
from millpond.lake.pointers import Move, Note, PointerMoved, find_user, read_pointers
from millpond.naming import table_name

_LAST = """
select old_location from lake_ref_log where ref = %s and action = 'retire'
and table_namespace || '.' || table_name = %s order by id desc limit 1
"""


def retire(table: str, *, ref: str) -> None:
    """Remove `table` from `ref`. Its files stay until housekeeping removes them.

    Raises TableNotFound, LockTimeout.
    """
    with lock_tables(ref, [table], run_id="retire") as conn:
        location = read_pointers(conn, ref, [table]).get(table)
        if location is None:
            raise _missing_table_error(table, ref)
        swap(conn, ref, [Move(table, location, None)], Note("retire", client=find_user()))


def restore(table: str, *, ref: str) -> None:
    """Restore `table` as it was when it was last retired from `ref`.

    Raises TableNotFound if it never was retired, its files are gone, or a table has its name.
    """
    with borrow_connection() as conn:
        found = conn.execute(_LAST, (ref, table)).fetchone()
    if found is None:
        raise _missing_table_error(table, ref, "it was never retired")
    try:
        read_metadata(found[0])
    except OSError as error:
        raise _missing_table_error(table, ref, "its files were removed by housekeeping") from error
    _move_locked([Move(table, None, found[0])], ref, "restore")


def rename(table: str, new: str, *, ref: str) -> None:
    """Give `table` the name `new`, with all its history. Raises TableNotFound, also if `new` exists."""
    table_name(new)
    with borrow_connection() as conn:
        location = read_pointers(conn, ref, [table]).get(table)
    if location is None:
        raise _missing_table_error(table, ref)
    _move_locked([Move(table, location, None), Move(new, None, location)], ref, "rename")


def _move_locked(moves: Sequence[Move], ref: str, action: str) -> None:
    with lock_tables(ref, [m.table for m in moves], run_id=action) as conn:
        try:
            swap(conn, ref, moves, Note(action, client=find_user()))
        except PointerMoved as error:
            names = ", ".join(m.table for m in moves if m.new)
            raise TableNotFound(
                f"{action} of {moves[0].table}: {names} is on ref {ref} already, or it has changed",
                unharmed="every table; nothing was moved",
                next_step="`millpond tables` lists the tables",
            ) from error


def _missing_table_error(table: str, ref: str, why: str = "") -> TableNotFound:
    return TableNotFound(
        f"there is no table {table} on ref {ref}" + (f" to restore: {why}" if why else ""),
        unharmed="every table; nothing was moved",
        next_step="`millpond retire` lists the tables without a model",
    )
