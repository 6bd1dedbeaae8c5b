"""The migrations of a home's tables in Postgres, and how they are applied.

A released step is never edited: a change of a table is a new step at the end. CONTRIBUTING.md says what a
step may do. Each schema is migrated by its own role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import tuple_row

from millpond import crash_points
from millpond.errors import HomeTooNew, HomeTooOld, MigrationFailed
from millpond.runtime.migrations import first
from millpond.runtime.migrations.later import KNOWN_FILES, RESOURCE_SAMPLES, REST_CATALOG, UNLISTED_FILES


@dataclass(frozen=True)
class Step:
    """One migration: SQL statements for each schema that it changes.

    With `on_opening`, it is applied when the home is opened, so it must be quick and only add. Others wait
    for `millpond upgrade`, as do all steps after them.
    """

    number: int
    name: str
    catalog: LiteralString = ""
    ops: LiteralString = ""
    on_opening: bool = True

    def sql(self, schema: str) -> LiteralString:
        """Return the statements for `schema`, which may be empty."""
        return {"catalog": self.catalog, "ops": self.ops}[schema]


STEPS: Final = (
    Step(
        1,
        "the tables of release 0.1, made where they are missing",
        catalog=first.CATALOG_TABLES,
        ops=first.OPS_TABLES,
    ),
    Step(2, "the files that sources were read from", ops=KNOWN_FILES),
    Step(3, "what parts and runs use of the machine", ops=RESOURCE_SAMPLES),
    Step(4, "since when a source does not list a file", ops=UNLISTED_FILES),
    Step(5, "views, clients and tokens of the REST catalog", catalog=REST_CATALOG),
)


SCHEMAS: Final = ("catalog", "ops")
"""Schemas of database `lake`; their roles do not see each other, so each has its own record."""

_LOCK: Final = 0x6D696772617465
"""Advisory lock for migrations: many processes may open a home for the first time at once."""
_LOCK_TIMEOUT: Final = "set local lock_timeout = '30s'"
_TABLE: Final = """
create table if not exists migrations (
    number int primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp(),
    millpond text not null
);
comment on table migrations is 'the steps that were applied to this schema; the last is its version';
"""
_NEWEST: Final = "select number, millpond from migrations order by number desc limit 1"
_RECORD: Final = "insert into migrations (number, name, millpond) values (%s, %s, %s)"


@dataclass(frozen=True)
class Version:
    """The version of a schema: the number of its last step, 0 if none, and the Millpond that applied it."""

    number: int
    millpond: str = ""


def newest() -> int:
    """Return the version of this release."""
    return STEPS[-1].number


def version(connection: psycopg.Connection[Any]) -> Version:
    """Return the version of this connection's schema, in one query that leaves no transaction open."""
    try:
        found = connection.cursor(row_factory=tuple_row).execute(_NEWEST).fetchone()
    except psycopg.errors.UndefinedTable:
        found = None
    if not connection.autocommit:
        connection.rollback()
    return Version(*found) if found else Version(0)


def is_current(connection: psycopg.Connection[Any]) -> bool:
    """Return whether this schema has no pending steps, in one query. Raises HomeTooNew."""
    found = version(connection)
    _refuse_newer(found)
    return found.number == newest()


def find_pending_steps(found: Version) -> Sequence[Step]:
    """Return the steps after this version. Raises HomeTooNew."""
    _refuse_newer(found)
    return [step for step in STEPS if step.number > found.number]


def migrate(connection: psycopg.Connection[Any], schema: str, *, by_hand: bool = False) -> list[Step]:
    """Apply the pending steps of `schema`, each in a transaction with its record; returns them.

    `connection` is that of the schema's owner, in autocommit mode. Concurrent processes wait for each other,
    and a killed one leaves only complete steps. Unless `by_hand`, raises HomeTooOld at a step that only
    `millpond upgrade` applies; raises HomeTooNew, and MigrationFailed if Postgres refuses a statement.
    """
    applied = []
    for step in find_pending_steps(version(connection)):
        try:
            with connection.transaction():
                if not _apply(connection, schema, step, by_hand=by_hand):
                    continue
            applied.append(step)
            crash_points.reached("migrations.recorded")
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and not isinstance(error, _PERSISTENT):
                raise  # the connection was lost: the caller may retry
            raise MigrationFailed(
                f"step {step.number} ({step.name}) cannot be applied to schema {schema}:"
                f" {str(error).strip()}",
                unharmed="the data: the step was rolled back",
                next_step="stop what uses this home (`millpond down`), then `millpond upgrade`",
            ) from error
    return applied


def _apply(connection: psycopg.Connection[Any], schema: str, step: Step, *, by_hand: bool) -> bool:
    """Apply `step`, unless another process did while this one waited for the lock."""
    connection.execute(_LOCK_TIMEOUT)
    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    connection.execute(_TABLE)
    found = connection.cursor(row_factory=tuple_row).execute(_NEWEST).fetchone()
    if found and found[0] >= step.number:
        return False
    if not step.on_opening and not by_hand:
        raise HomeTooOld(
            f"this home has version {step.number - 1}, but Millpond {_millpond_version()} needs version"
            f" {newest()}; step {step.number} ({step.name}) is not applied automatically",
            unharmed="all of it: nothing was changed",
            next_step="`millpond upgrade`",
        )
    if sql := step.sql(schema):
        connection.execute(sql)
    crash_points.reached("migrations.applied")
    connection.execute(_RECORD, (step.number, step.name, _millpond_version()))
    return True


def _refuse_newer(found: Version) -> None:
    if found.number > newest():
        raise HomeTooNew(
            f"this home has version {found.number}, written by Millpond {found.millpond};"
            f" the installed Millpond {_millpond_version()} supports versions up to {newest()}",
            unharmed="all of it: nothing was changed",
            next_step=f"`pip install 'millpond>={found.millpond}'`, or another home (MILLPOND_HOME)",
        )


def _millpond_version() -> str:
    return metadata.version("millpond")


_PERSISTENT: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
