"""Publishing: gold tables at one moment of a ref become the marts of that ref, all at once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from millpond.crash_points import reached
from millpond.errors import PublishFailed, TableNotFound
from millpond.lake import hashing, pins, read
from millpond.naming import marts_schema, ref_option
from millpond.publish import binary_copy
from millpond.publish.locks import acquire_publish_lock, held_error, retry_locked
from millpond.publish.mart_table import MartTable
from millpond.publish.postgres_types import PostgresType, find_type
from millpond.publish.spec import MartSpec
from millpond.runtime.databases import databases
from millpond.settings import settings

_ATTEMPTS_WITHOUT_CONNECTION = 3
_LONGEST_NAME = 63


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
class _Shadow:
    mart: MartTable
    rows: pa.Table
    snapshot_id: int | None
    seconds: float


def publish(marts: Sequence[MartSpec], *, ref: str, run_id: str) -> list[PublishResult]:
    """Make the marts of `ref` equal to their gold tables, all in one transaction.

    Readers see all marts from before or all from after, never an empty or mixed one; grants, views, indexes
    and comments stay. Raises PublishFailed (then nothing changed), TableNotFound, RefNotFound.
    """
    if not marts:
        return []
    for attempt in range(1, _ATTEMPTS_WITHOUT_CONNECTION + 1):
        try:
            with databases().marts.connect(autocommit=True) as connection:
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
                f"Postgres refused the marts of {ref}: {error.diag.message_primary or error}"
                + (f" ({error.diag.context.splitlines()[0]})" if error.diag.context else ""),
                unharmed="the marts as they were before",
                next_step="correct the rows in the model, or the mart in Postgres, and publish again",
            ) from error
    raise AssertionError


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
    with pins.hold_pin(ref) as pin:
        _refuse_missing(marts, pin)
        copied = [_copy_to_shadow(connection, schema, mart, pin) for mart in marts]
    reached("publish.copied")
    published = retry_locked(lambda: _swap(connection, schema, copied), wait, refusal)
    connection.execute("DISCARD TEMP")
    return published


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


def _copy_to_shadow(
    connection: psycopg.Connection[Any], schema: str, spec: MartSpec, pin: pins.Pin
) -> _Shadow:
    began = time.perf_counter()
    snapshot = read.load_table(pin, spec.table).current_snapshot()
    rows = read.scan(pin, spec.table)
    columns = {f.name: find_type(spec.table, f) for f in rows.schema}
    _refuse_columns(spec, columns)
    rows = rows.cast(pa.schema([(name, kind.arrow) for name, kind in columns.items()]))
    mart = MartTable(connection, schema, spec, columns)
    mart.copy_into_shadow(binary_copy.encode_table(rows, [kind.encode for kind in columns.values()]))
    seconds = time.perf_counter() - began
    return _Shadow(mart, rows, snapshot.snapshot_id if snapshot else None, seconds)


def _swap(connection: psycopg.Connection[Any], schema: str, copied: Sequence[_Shadow]) -> list[PublishResult]:
    with connection.transaction():
        # Here and not earlier, so that a publish that fails leaves no empty schema.
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        published = [_take_over(one) for one in copied]
        reached("publish.swapping")
    reached("publish.swapped")
    return published


def _take_over(copied: _Shadow) -> PublishResult:
    began, mart, rows = time.perf_counter(), copied.mart, copied.rows
    mart.fit()
    changed = mart.take_over()
    mart.finish()
    found, expected = mart.totals(), _compute_totals(rows, mart.columns)
    if found != expected:
        raise PublishFailed(
            f"mart {mart.name} would differ from {mart.spec.table}: "
            f"counts and sums are {found} instead of {expected}",
            unharmed="the marts as they were before",
            next_step="look for triggers or rules on the mart; they must not change what is written",
        )
    return PublishResult(
        name=mart.spec.name,
        rows_lake=rows.num_rows,
        rows_postgres=found[0],
        rows_changed=changed,
        bytes=mart.size(),
        seconds=copied.seconds + time.perf_counter() - began,
        snapshot_id=copied.snapshot_id,
        content_hash=hashing.hash_digests(hashing.compute_digests(rows, None)),
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
