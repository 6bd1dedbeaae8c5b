"""Replacing windows of tables: all tables of a call in one commit; unchanged content commits nothing."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import psycopg
from pyiceberg.table.metadata import TableMetadata

from millpond import crash_points
from millpond.errors import ConfigError, EmbeddedPartError, PartitionConflict, StorageFailed
from millpond.lake.catalog import LakeCatalog
from millpond.lake.change import Change, prepare_change
from millpond.lake.connect import borrow_connection
from millpond.lake.files import advise
from millpond.lake.locks import lock_tables
from millpond.lake.metadata import find_windows_since, read_metadata
from millpond.lake.parallel import write_each
from millpond.lake.pointers import Move, Note, PointerMoved, read_pointers
from millpond.lake.rows import Rows
from millpond.lake.spec import Replacement, TableSpec, Written
from millpond.lake.windows import Windows

__all__ = ["Replacement", "TableSpec", "Written", "replace"]

_ATTEMPTS = 20
_INTERRUPTIONS = 3


def replace(
    replacements: Sequence[Replacement], *, ref: str, run_id: str, known: Mapping[str, str] | None = None
) -> list[Written]:
    """Replace each window with exactly the given rows, in one atomic commit over all tables.

    A table whose window already has the same rows (except for LINEAGE_COLUMNS) does not change. Missing
    tables are created, also empty ones; columns are added and numbers widened as the data requires. An
    integer column that is declared as double becomes one, and keeps its values.

    `known` are the pointers of the ref, given by its only writer: they are not read, and no locks are
    acquired. If another writer moved one of them after all, nothing is committed, and the write is repeated
    like any other.

    Raises RowsOutsideWindow, SchemaConflict, LockTimeout, PartitionConflict, RefNotFound, StorageFailed,
    OutcomeUnknown; in each case no table has changed (OutcomeUnknown: or all have).
    """
    names = [r.table.name for r in replacements]
    _refuse_duplicates(names)
    first: dict[str, str] = {}
    for attempt in itertools.count(1):
        try:
            if known is not None and attempt == 1:
                first.update((name, known[name]) for name in names if name in known)
                return _attempt(borrow_connection(), replacements, ref, run_id, first)
            with lock_tables(ref, names, run_id=run_id) as conn:
                found = read_pointers(conn, ref, names)
                if first:
                    _refuse_older_rows(replacements, first, found, ref)
                first.update(found)
                return _attempt(nullcontext(conn), replacements, ref, run_id, found)
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
    connection: AbstractContextManager[psycopg.Connection],
    replacements: Sequence[Replacement],
    ref: str,
    run_id: str,
    found: Mapping[str, str],
) -> list[Written]:
    """Write once, on top of the pointers `found`; only a commit needs the connection."""
    lake = LakeCatalog(ref)
    lake.created.later = True
    note = Note("replace", run_id, commit_id=uuid.uuid4().hex)
    try:
        written = write_each(partial(_write, lake, found, note), replacements, lake.created)
        crash_points.reached("lake.data_files_written")
        lake.created.flush()
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
        for change, _, location in written
        if change.staging.changed
    ]
    if moves:
        with connection as conn:
            lake.point(conn, moves, note)
    return [change.report(metadata.current_snapshot_id, location) for change, metadata, location in written]


def _write(
    lake: LakeCatalog, found: Mapping[str, str], note: Note, r: Replacement
) -> tuple[Change, TableMetadata, str]:
    """Write the files of a change; returns it, and the metadata that it leads to with its location."""
    name, windows = r.table.name, Windows.of(r.window)
    properties = {"millpond.run_id": note.run_id, "millpond.commit_id": note.commit_id or ""}
    change = prepare_change(
        lake, found.get(name), r.table, Rows(name, r.data), windows, properties, r.check, r.keeping
    )
    return change, *change.staging.finish()


def _refuse_older_rows(
    replacements: Sequence[Replacement], first: Mapping[str, str], found: Mapping[str, str], ref: str
) -> None:
    """Raise PartitionConflict if others wrote the same days since the first attempt.

    It lost its locks then, perhaps because its process was stopped for hours: the others' rows are newer.
    """
    for r in replacements:
        old, new = first.get(r.table.name), found.get(r.table.name)
        if old and new and (days := _find_days_since(new, old) & Windows.of(r.window)):
            raise PartitionConflict(
                f"{r.table.name} on ref {ref}: others wrote {days} while this write had lost its lock",
                unharmed="the rows of the others; nothing of this write is visible",
                next_step="repeat the run if its rows are newer",
            )


def _find_days_since(new: str, old: str) -> Windows:
    return Windows(()) if new == old else find_windows_since(read_metadata(new), read_metadata(old))


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"one write names {', '.join(twice)} more than once",
            next_step="bring the rows of a table together into one replacement",
        )
