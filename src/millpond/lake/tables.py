"""Replacing windows of tables: all tables of a call in one commit; unchanged content commits nothing."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Mapping, Sequence

import psycopg

from millpond import crash_points
from millpond.errors import ConfigError, EmbeddedPartError, PartitionConflict, StorageFailed
from millpond.lake.catalog import LakeCatalog
from millpond.lake.change import Change, prepare_change
from millpond.lake.files import advise
from millpond.lake.locks import lock_tables
from millpond.lake.pointers import Move, Note, PointerMoved, read_pointers
from millpond.lake.rows import Rows
from millpond.lake.spec import Replacement, TableSpec, Written
from millpond.lake.windows import Windows

__all__ = ["Replacement", "TableSpec", "Written", "replace"]

_ATTEMPTS = 20
_INTERRUPTIONS = 3


def replace(replacements: Sequence[Replacement], *, ref: str, run_id: str) -> list[Written]:
    """Replace each window with exactly the given rows, in one atomic commit over all tables.

    A table whose window already has the same rows (except for LINEAGE_COLUMNS) does not change. Missing
    tables are created, also empty ones; columns are added and numbers widened as the data requires. An
    integer column that is declared as double becomes one, and keeps its values.

    Raises RowsOutsideWindow, SchemaConflict, LockTimeout, PartitionConflict, RefNotFound, StorageFailed,
    OutcomeUnknown; in each case no table has changed (OutcomeUnknown: or all have).
    """
    names = [r.table.name for r in replacements]
    _refuse_duplicates(names)
    for attempt in itertools.count(1):
        try:
            with lock_tables(ref, names, run_id=run_id) as conn:
                return _attempt(conn, replacements, ref, run_id)
        except PointerMoved as moved:
            if attempt >= _ATTEMPTS:
                raise PartitionConflict(
                    f"{moved} on ref {ref} was changed by others in each of {attempt} attempts",
                    unharmed="the table; nothing of this write is visible",
                    next_step="repeat the run when the other writers are done",
                ) from moved
        except psycopg.OperationalError as error:
            if attempt >= _INTERRUPTIONS:
                raise EmbeddedPartError(
                    f"the connection to the catalog was lost {attempt} times while {', '.join(names)} were"
                    f" written: {error}",
                    unharmed="the tables; nothing of this write is visible",
                    next_step="make sure that Postgres keeps running, and repeat the run",
                ) from error
        time.sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311
    raise AssertionError("unreachable")


def _attempt(
    conn: psycopg.Connection, replacements: Sequence[Replacement], ref: str, run_id: str
) -> list[Written]:
    lake = LakeCatalog(ref)
    found = read_pointers(conn, ref, [r.table.name for r in replacements])
    note = Note("replace", run_id, commit_id=uuid.uuid4().hex)
    try:
        changes = [_prepare(lake, found, r, note) for r in replacements]
        crash_points.reached("lake.data_files_written")
        finished = [change.staging.finish() for change in changes]
        crash_points.reached("lake.metadata_written")
    except OSError as error:
        lake.discard()
        raise StorageFailed(
            f"files of {', '.join(r.table.name for r in replacements)} could not be read or written: {error}",
            unharmed="the tables; the files of this write were removed",
            next_step=advise("the warehouse: free space, permissions, missing files"),
        ) from error
    except BaseException:
        lake.discard()
        raise
    moves = [
        Move(change.table, change.staging.old_location, location)
        for change, (_, location) in zip(changes, finished, strict=True)
        if change.staging.changed
    ]
    if moves:
        lake.point(conn, moves, note)
    return [
        c.report(metadata.current_snapshot_id) for c, (metadata, _) in zip(changes, finished, strict=True)
    ]


def _prepare(lake: LakeCatalog, found: Mapping[str, str], r: Replacement, note: Note) -> Change:
    name, windows = r.table.name, Windows.of(r.window)
    properties = {"millpond.run_id": note.run_id, "millpond.commit_id": note.commit_id or ""}
    return prepare_change(
        lake, found.get(name), r.table, Rows(name, r.data), windows, properties, r.check, r.keeping
    )


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"one write names {', '.join(twice)} more than once",
            next_step="bring the rows of a table together into one replacement",
        )
