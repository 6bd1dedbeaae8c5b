"""Publishing: gold tables at one moment of a ref become the marts of that ref, all at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from millpond.crash_points import reached
from millpond.errors import PublishFailed, TableNotFound
from millpond.lake import hashing, pins, read
from millpond.lake.files import name_read_errors
from millpond.naming import marts_schema, ref_option
from millpond.publish import binary_copy
from millpond.publish.locks import acquire_publish_lock, held_error, retry_locked
from millpond.publish.mart_table import MartState, MartTable, read_states
from millpond.publish.postgres_types import PostgresType, find_type
from millpond.publish.spec import MartSpec
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow_session
from millpond.settings import settings

_ATTEMPTS_WITHOUT_CONNECTION = 3
_LONGEST_NAME = 63
_END = "SELECT pg_advisory_unlock_all(); DISCARD TEMP; RESET ALL"
"""Takes back what a publish leaves in its session, which the next one uses again."""


@dataclass(frozen=True)
class PublishResult:
    """A mart in Postgres after publishing.

    `rows_changed` were written or removed; `bytes` the mart takes with its indexes; `seconds` its copy took;
    `content_hash` equals the lake's for the same rows.
    """

    name: str
    rows_lake: int
    rows_postgres: int
    rows_changed: int
    bytes: int
    seconds: float
    snapshot_id: int | None
    content_hash: str


@dataclass(frozen=True)
class _Copied:
    """The rows of a mart; they are in its shadow too if there is a mart that may mostly stay as it is.

    `totals` and `content_hash` are computed while Postgres works.
    """

    mart: MartTable
    rows: pa.Table
    snapshot_id: int | None
    in_shadow: bool
    seconds: float
    totals: Future[tuple[Any, ...]]
    content_hash: Future[str]


def publish(marts: Sequence[MartSpec], *, ref: str, run_id: str) -> list[PublishResult]:
    """Make the marts of `ref` equal to their gold tables, all in one transaction.

    Readers see all marts from before or all from after, never an empty or mixed one; grants, views, indexes
    and comments stay. Raises PublishFailed (then nothing changed), TableNotFound, RefNotFound.
    """
    if not marts:
        return []
    for attempt in range(1, _ATTEMPTS_WITHOUT_CONNECTION + 1):
        try:
            with borrow_session(databases().marts, _END) as connection:
                return _publish(connection, marts, ref, run_id)
        except psycopg.OperationalError as error:
            if attempt == _ATTEMPTS_WITHOUT_CONNECTION:
                raise PublishFailed(
                    f"the connection to Postgres was lost while the marts of {ref} were published:"
                    f" {str(error).strip()}",
                    unharmed="each mart is as before or complete",
                    next_step="publish again; if that fails too, see postgres.log in the home's folder logs",
                ) from error
        except psycopg.Error as error:
            raise PublishFailed(
                f"Postgres refused the marts of {ref}: {_describe(error, marts)}",
                unharmed="the marts as they were before",
                next_step="correct the rows in the model, or the mart in Postgres, and publish again",
            ) from error
    raise AssertionError


def empty_marts(names: Sequence[str], *, ref: str) -> None:
    """Remove the rows of marts whose tables are gone, all in one transaction; missing marts are passed over.

    Tables, grants, views and indexes stay. Raises PublishFailed; then nothing changed.
    """
    schema, wait = marts_schema(ref), settings().lock_seconds
    tables = [sql.Identifier(schema, name).as_string() for name in names]
    try:
        with databases().marts.connect(autocommit=True) as connection:

            def refusal() -> PublishFailed:
                return held_error(connection, tables, schema, wait)

            def delete() -> None:
                with connection.transaction():
                    for table in tables:
                        there = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
                        if there and there[0]:
                            connection.execute(sql.SQL("DELETE FROM {}").format(sql.SQL(table)))

            acquire_publish_lock(connection, schema, f"millpond {os.getpid()} undo", refusal)
            retry_locked(delete, wait, refusal)
    except psycopg.Error as error:
        raise PublishFailed(
            f"Postgres refused to empty the marts {', '.join(names)} of {ref}: {type(error).__name__}",
            unharmed="the marts as they were before",
            next_step="remove each: `millpond retire NAME --yes`, or build its model again",
        ) from error


def _describe(error: psycopg.Error, marts: Sequence[MartSpec]) -> str:
    if any(mart.is_sensitive for mart in marts):
        return f"{type(error).__name__} (hidden, as a mart has sensitive columns)"
    where = f" ({error.diag.context.splitlines()[0]})" if error.diag.context else ""
    return f"{error.diag.message_primary or error}{where}"


def count_rows(mart: MartSpec, *, ref: str) -> tuple[int, int | None]:
    """Return how many rows a mart's gold table and the mart have now; None if the mart is not published."""
    table = sql.Identifier(marts_schema(ref), mart.name)
    with databases().marts_readonly.connect() as connection:
        try:
            (rows,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone() or (0,)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            rows = None
    return read.count(ref, mart.table), rows


def compare_totals(
    mart: MartSpec, *, ref: str, pin: pins.Pin
) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """Return the numbers of rows and values, and their sums, of a mart's gold table and of the mart.

    The second is None if the mart is not published.
    """
    rows = read.scan(pin, mart.table)
    columns = {f.name: find_type(mart.table, f) for f in rows.schema}
    rows = rows.cast(pa.schema([(name, kind.arrow) for name, kind in columns.items()]))
    with databases().marts_readonly.connect() as connection:
        try:
            found = MartTable(connection, marts_schema(ref), mart, columns).totals()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return _compute_totals(rows, columns), None
        except psycopg.errors.UndefinedColumn as error:
            raise PublishFailed(
                f"the mart {mart.name} lacks a column of {mart.table}: {error.diag.message_primary}",
                unharmed="the mart and the table",
                next_step=f"publish it again: `millpond materialize marts/{mart.name}{ref_option(ref)}`",
            ) from error
    return _compute_totals(rows, columns), found


def _publish(
    connection: psycopg.Connection[Any], marts: Sequence[MartSpec], ref: str, run_id: str
) -> list[PublishResult]:
    schema, wait = marts_schema(ref), settings().lock_seconds
    tables = [f"{schema}.{mart.name}" for mart in marts]

    def refusal() -> PublishFailed:
        return held_error(connection, tables, schema, wait)

    # Taken before the pin: a later publish never reads an older lake.
    acquire_publish_lock(connection, schema, f"millpond {os.getpid()} {run_id}", refusal)
    names = [mart.name for mart in marts]
    there = read_states(connection, schema, names)
    with ThreadPoolExecutor(1, "totals") as pool:
        with pins.hold_pin(ref) as pin, connection.transaction():
            _refuse_missing(marts, pin)
            copied = [
                _copy(connection, schema, mart, pin, pool, in_place=mart.name in there) for mart in marts
            ]
        reached("publish.copied")
        return retry_locked(lambda: _swap(connection, schema, copied), wait, refusal)


def _refuse_missing(marts: Sequence[MartSpec], pin: pins.Pin) -> None:
    """Raise TableNotFound if a mart's gold table was never built on the ref."""
    if missing := [mart for mart in marts if mart.table not in pin.pointers]:
        tables = ", ".join(mart.table for mart in missing)
        selection = ",".join(f"*marts/{mart.name}" for mart in missing)
        raise TableNotFound(
            f"there is nothing to publish: {tables} was never built on ref {pin.ref}",
            unharmed="all marts; nothing was published",
            next_step="build them and what is upstream:"
            f' `millpond materialize "{selection}"{ref_option(pin.ref)}`',
        )


def _copy(
    connection: psycopg.Connection[Any],
    schema: str,
    spec: MartSpec,
    pin: pins.Pin,
    pool: Executor,
    *,
    in_place: bool,
) -> _Copied:
    began = time.perf_counter()
    table = read.load_table(pin, spec.table)
    snapshot = table.current_snapshot()
    with name_read_errors(spec.table):
        rows = table.scan().to_arrow()
    columns = {f.name: find_type(spec.table, f) for f in rows.schema}
    _refuse_columns(spec, columns)
    rows = rows.cast(pa.schema([(name, kind.arrow) for name, kind in columns.items()]))
    totals = pool.submit(_compute_totals, rows, columns)
    content_hash = pool.submit(lambda: hashing.hash_digests(hashing.compute_digests(rows, None)))
    mart = MartTable(connection, schema, spec, columns)
    if in_shadow := spec.declared.mode == "changes" and in_place:
        mart.copy_into_shadow(_stream(rows, columns))
    seconds = time.perf_counter() - began
    snapshot_id = snapshot.snapshot_id if snapshot else None
    return _Copied(mart, rows, snapshot_id, in_shadow, seconds, totals, content_hash)


def _stream(rows: pa.Table, columns: Mapping[str, PostgresType]) -> Iterator[bytes]:
    return binary_copy.encode_table(rows, [kind.encode for kind in columns.values()])


def _swap(connection: psycopg.Connection[Any], schema: str, copied: Sequence[_Copied]) -> list[PublishResult]:
    with connection.transaction():
        there = read_states(connection, schema, [one.mart.spec.name for one in copied])
        if not there:  # here and not earlier, so that a publish that fails leaves no empty schema
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        # New marts first: they take as long as their copy, and nobody waits for them.
        new = {one.mart.name: _write(one, None) for one in copied if one.mart.spec.name not in there}
        published = [new.get(one.mart.name) or _write(one, there[one.mart.spec.name]) for one in copied]
        reached("publish.swapping")
    reached("publish.swapped")
    return published


def _write(copied: _Copied, there: MartState | None) -> PublishResult:
    began, mart, stream = time.perf_counter(), copied.mart, _stream(copied.rows, copied.mart.columns)
    if there is None:
        changed = mart.create(stream)
    else:
        mart.fit(there)
        changed = mart.take_over() if copied.in_shadow else mart.replace(stream)
    mart.finish(there or MartState())
    size, found = mart.measure()
    expected = copied.totals.result()
    if found != expected:
        raise PublishFailed(
            f"mart {mart.name} would differ from {mart.spec.table}: "
            f"counts and sums are {found} instead of {expected}",
            unharmed="the marts as they were before",
            next_step="look for triggers or rules on the mart; they must not change what is written",
        )
    return PublishResult(
        name=mart.spec.name,
        rows_lake=copied.rows.num_rows,
        rows_postgres=found[0],
        rows_changed=changed,
        bytes=size,
        seconds=copied.seconds + time.perf_counter() - began,
        snapshot_id=copied.snapshot_id,
        content_hash=copied.content_hash.result(),
    )


def _compute_totals(rows: pa.Table, columns: Mapping[str, PostgresType]) -> tuple[Any, ...]:
    """Return number of rows, then for each column how many values it has and their exact sum."""
    each = [(rows.num_rows - rows[n].null_count, kind.total(rows[n])) for n, kind in columns.items()]
    return (rows.num_rows, *(part for pair in each for part in pair))


def _refuse_columns(spec: MartSpec, columns: Mapping[str, PostgresType]) -> None:
    for name in (*spec.declared.key, *(c for index in spec.declared.indexes for c in index)):
        if name not in columns:
            raise PublishFailed(
                f"{spec.table} has no column {name}, which meta.publish of {spec.name} names",
                unharmed="the marts as they were before",
                next_step=f"name one of {', '.join(columns)}",
            )
    for name in columns:
        if len(name.encode()) > _LONGEST_NAME:
            raise PublishFailed(
                f"the column {name} of {spec.table} is longer than the {_LONGEST_NAME} bytes Postgres keeps",
                unharmed="the marts as they were before",
                next_step="shorten it in the model",
            )
