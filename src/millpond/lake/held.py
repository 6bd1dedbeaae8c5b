"""Days whose new rows are kept on a branch until you accept them, while the ref shows the old ones.

Such a branch belongs to the run that created it and is dropped with its last day, or by `housekeeping`.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from millpond import crash_points
from millpond.errors import LakeError
from millpond.lake.connect import borrow_connection
from millpond.lake.locks import lock_key
from millpond.naming import pluralize
from millpond.partitions import Window, contiguous

if TYPE_CHECKING:
    from millpond.lake.hashing import Digest
    from millpond.lake.spec import Replacement

_PREFIX = "held_"
_NAME_LENGTH = 40
_COLUMNS = (
    "ref, table_name as table, day, branch, run_id, held_at, rows_loaded, rows_held, loaded_hash, details"
)
_NOTE = """
    insert into lake_held (ref, table_name, day, branch, run_id, rows_loaded, rows_held, loaded_hash, details)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (ref, table_name, day) do update set branch = excluded.branch, run_id = excluded.run_id,
        held_at = excluded.held_at, rows_loaded = excluded.rows_loaded, rows_held = excluded.rows_held,
        loaded_hash = excluded.loaded_hash, details = excluded.details
"""


@dataclass(frozen=True)
class Held:
    """A day of `table` on `ref` whose new rows are on `branch`.

    `loaded_hash` is that of the rows that `ref` shows; `details` are returned as `hold` received them.
    """

    ref: str
    table: str
    day: dt.date
    branch: str
    run_id: str
    held_at: dt.datetime
    rows_loaded: int
    rows_held: int
    loaded_hash: str
    details: Mapping[str, Any]


def hold(
    ref: str,
    table: str,
    days: Mapping[dt.date, tuple[Digest, int, Mapping[str, Any]]],
    writes: Sequence[Sequence[Replacement]],
    run_id: str,
) -> str:
    """Hold back the new rows of `days` of `table` on a new branch, and return its name.

    `days` maps each day to what `ref` shows of it, how many rows are held back, and the details; `writes`
    are the rows of all tables. Rows held back for these days before are dropped. Raises as `replace` does.
    """
    from millpond.lake import refs  # what holds nothing back, such as a list, loads no PyIceberg
    from millpond.lake.tables import replace

    shown = ", ".join(map(str, contiguous(days)))
    branch = f"{_PREFIX}{table.split('.')[-1][:_NAME_LENGTH]}_{secrets.token_hex(4)}"
    refs.create(branch, ref, f"rows of {table} held back: {shown}", run_id)
    for write in writes:
        replace(write, ref=branch, run_id=run_id)
    crash_points.reached("lake.held_before_note")
    rows = [
        (ref, table, day, branch, run_id, loaded.rows, held_rows, loaded.hex, json.dumps(dict(details)))
        for day, (loaded, held_rows, details) in days.items()
    ]
    with borrow_connection() as conn, conn.transaction():
        # If two processes hold back the same days at once, the second finds the first one's record.
        conn.execute("select pg_advisory_xact_lock(%s)", (lock_key(ref, f"held {table}"),))
        before = conn.execute(
            "select distinct branch from lake_held where ref = %s and table_name = %s and day = any(%s)",
            (ref, table, list(days)),
        ).fetchall()
        with conn.cursor() as cursor:
            cursor.executemany(_NOTE, rows)
        why = f"{pluralize(len(days), 'day')} of {table} would have far fewer rows than {ref} shows: {shown}"
        conn.execute("update lake_refs set kept = %s where name = %s", (why, branch))
    _drop_empty([name for (name,) in before])
    return branch


def list_held(ref: str | None = None, table: str | None = None, window: Window | None = None) -> list[Held]:
    """Return the days that are held back, by table and day; only those of `ref`, `table` and `window`."""
    with borrow_connection() as conn, conn.cursor(row_factory=class_row(Held)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lake_held where (%(ref)s::text is null or ref = %(ref)s)"  # noqa: S608
            " and (%(table)s::text is null or table_name = %(table)s)"
            " and (%(start)s::date is null or day >= %(start)s and day < %(end)s)"
            " order by table_name, ref, day",
            {
                "ref": ref,
                "table": table,
                "start": window.start if window else None,
                "end": window.end if window else None,
            },
        ).fetchall()


def release(ref: str, table: str, days: Collection[dt.date]) -> None:
    """Forget what is held back of `days`: it was accepted, or newer rows were loaded. One statement."""
    with borrow_connection() as conn:
        gone = conn.execute(
            "delete from lake_held where ref = %s and table_name = %s and day = any(%s) returning branch",
            (ref, table, list(days)),
        ).fetchall()
    _drop_empty({name for (name,) in gone})


def _drop_empty(branches: Collection[str]) -> None:
    """Drop the branches that hold nothing back any more."""
    if not branches:
        return
    from millpond.lake import refs

    for name in branches:
        with borrow_connection() as conn:
            left = conn.execute("select 1 from lake_held where branch = %s limit 1", (name,)).fetchone()
        if not left:
            with suppress(LakeError):  # dropped already, or the base of another branch
                refs.drop(name)
