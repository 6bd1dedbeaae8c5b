"""Replacing windows of tables: all tables of a call in one commit, the same content in none."""

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
from millpond.lake.files import advice
from millpond.lake.locks import table_locks
from millpond.lake.pointers import Move, Note, PointerMoved, pointers
from millpond.lake.rows import Rows
from millpond.lake.spec import Replacement, TableSpec, Written
from millpond.lake.windows import Windows

__all__ = ["Replacement", "TableSpec", "Written", "replace"]

_ATTEMPTS = 20
_INTERRUPTIONS = 3


def replace(replacements: Sequence[Replacement], *, ref: str, run_id: str) -> list[Written]:
    """Make each window hold exactly the given rows, in one atomic commit over all tables.

    A table whose window already holds the same rows (LINEAGE_COLUMNS aside) is left alone. Missing
    tables are created, also empty ones; columns are added and numbers widened where the data asks for it. A
    column of whole numbers that is declared as numbers with fractions becomes that, its values kept.

    Raises RowsOutsideWindow, SchemaConflict, LockTimeout, PartitionConflict, RefNotFound, StorageFailed,
    OutcomeUnknown; in each case no table was changed (OutcomeUnknown: or all were).
    """
    names = [r.table.name for r in replacements]
    _refuse_twice(names)
    for attempt in itertools.count(1):
        try:
            with table_locks(ref, names, run_id=run_id) as conn:
                return _attempt(conn, replacements, ref, run_id)
        except PointerMoved as moved:
            if attempt >= _ATTEMPTS:
                raise PartitionConflict(
                    f"{moved} on ref {ref} was changed by others each of the {attempt} times it was tried",
                    unharmed="the table; nothing of this write is visible",
                    next_step="repeat the run when the other writers are done",
                ) from moved
        except psycopg.OperationalError as error:
            if attempt >= _INTERRUPTIONS:
                raise EmbeddedPartError(
                    f"the catalog broke off {attempt} times while {', '.join(names)} were written: {error}",
                    unharmed="the tables; nothing of this write is visible",
                    next_step="see to it that Postgres stays up, and repeat the run",
                ) from error
        time.sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311
    raise AssertionError("unreachable")


def _attempt(
    conn: psycopg.Connection, replacements: Sequence[Replacement], ref: str, run_id: str
) -> list[Written]:
    lake = LakeCatalog(ref)
    found = pointers(conn, ref, [r.table.name for r in replacements])
    note = Note("replace", run_id, commit_id=uuid.uuid4().hex)
    try:
        changes = [_prepare(lake, found, r, note) for r in replacements]
        crash_points.reached("lake.data_files_written")
        finished = [change.staging.finished() for change in changes]
        crash_points.reached("lake.metadata_written")
    except OSError as error:
        lake.discard()
        raise StorageFailed(
            f"files of {', '.join(r.table.name for r in replacements)} could not be read or written: {error}",
            unharmed="the tables as others see them; what this write had made is removed",
            next_step=advice("the warehouse: free space, permissions, missing files"),
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
        c.written(metadata.current_snapshot_id) for c, (metadata, _) in zip(changes, finished, strict=True)
    ]


def _prepare(lake: LakeCatalog, found: Mapping[str, str], r: Replacement, note: Note) -> Change:
    name, windows = r.table.name, Windows.of(r.window)
    properties = {"millpond.run_id": note.run_id, "millpond.commit_id": note.commit_id or ""}
    return prepare_change(
        lake, found.get(name), r.table, Rows(name, r.data), windows, properties, r.check, r.keeping
    )


def _refuse_twice(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"one write names {', '.join(twice)} more than once",
            next_step="bring the rows of a table together into one replacement",
        )
