"""The databases at one moment, dumped by Postgres' own programs, and loaded again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import IsolationLevel, sql

from millpond.errors import BackupFailed
from millpond.runtime.cluster import ENVIRONMENT, find_binaries
from millpond.runtime.databases import Database

_LOCK_MILLISECONDS = 500
"""Shorter than Postgres' deadlock_timeout: a backup gives way to writers that wait for it."""
_LOCK_ATTEMPTS = 60
_WRITTEN: Final[Mapping[str, LiteralString]] = {"dagster": "event_logs", "catalog": "iceberg_tables"}
"""What may not be written while the moment is chosen: no event is recorded and no table's pointer moves, so
that Dagster's record and the lake tell of the same commits."""
_SCHEMAS: LiteralString = """
    select nspname from pg_namespace n where nspname !~ '^pg_' and nspname <> 'information_schema'
    and (%(own)s::text is null or nspname = %(own)s)
    and exists (select 1 from pg_class c where c.relnamespace = n.oid and c.relowner = current_user::regrole)
    order by 1
"""
TABLES: LiteralString = """
    select tablename from pg_tables where schemaname = %s and tableowner = current_user order by 1
"""
"""Query of the tables in a schema that belong to its role."""


@dataclass(frozen=True)
class Part:
    """What one role owns: a database, or one schema of it."""

    database: Database
    schema: str | None = None
    hashed: bool = False
    """Whether the rows are hashed too: those of marts, which are what readers see."""

    @property
    def key(self) -> str:
        """Its name in a backup."""
        return self.database.key

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection to exactly this server: none is started, and no schema is migrated."""
        return psycopg.connect(self.database.uri.get_secret_value())


class Moment:
    """The databases as they were at one moment."""

    def __init__(self, parts: Mapping[str, tuple[Part, psycopg.Connection[Any], str]]) -> None:
        self._parts = parts

    @property
    def parts(self) -> list[Part]:
        """The parts, in the order of their names."""
        return [part for part, _, _ in self._parts.values()]

    def query(self, key: str, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Return the rows of a query on a part."""
        return self._parts[key][1].execute(statement).fetchall()

    def count(self, key: str) -> tuple[dict[str, int], dict[str, str]]:
        """Return the rows of each table of a part, and the hashes of those that are hashed."""
        part, connection, _ = self._parts[key]
        return count_rows(connection, part)

    def dump(self, key: str, target: Path) -> None:
        """Write a part's tables to `target`. Raises BackupFailed with the message of pg_dump."""
        part, connection, snapshot = self._parts[key]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.touch(mode=0o600)
        schemas = [f"--schema={_quote_pattern(name)}" for name in list_schemas(connection, part)]
        options = ["--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-acl", f"--file={target}"]
        if schemas:
            _run("pg_dump", part.database, [*options, *schemas])


@contextmanager
def hold_moment(parts: list[Part]) -> Iterator[Moment]:
    """Yield all parts as they are now, while others go on writing.

    Writers of the event log and of the lake's pointers wait for some milliseconds. Raises BackupFailed if
    they hold their locks for longer than half a minute.
    """
    for _ in range(_LOCK_ATTEMPTS):
        with ExitStack() as held:
            try:
                with ExitStack() as locks:
                    for part in parts:
                        _lock(locks.enter_context(part.connect()), part)
                    found = {part.key: (part, *_open_snapshot(held, part)) for part in parts}
            except psycopg.errors.LockNotAvailable:
                time.sleep(0.05)
                continue
            yield Moment(found)
            return
    raise BackupFailed(
        "other sessions held locks on Dagster's event log or the catalog for longer than "
        f"{_LOCK_ATTEMPTS * _LOCK_MILLISECONDS // 1000} s",
        unharmed="this home, and the backup before",
        next_step="repeat the backup when they are done",
    )


def list_schemas(connection: psycopg.Connection[Any], part: Part) -> list[str]:
    """Return the schemas with tables of the part's role."""
    return [name for (name,) in connection.execute(_SCHEMAS, {"own": part.schema}).fetchall()]


def count_rows(connection: psycopg.Connection[Any], part: Part) -> tuple[dict[str, int], dict[str, str]]:
    """Return the rows of each table of a part, and the hashes of those that are hashed."""
    rows: dict[str, int] = {}
    hashes: dict[str, str] = {}
    connection.execute("set time zone 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'")
    for schema in list_schemas(connection, part):
        for (table,) in connection.execute(TABLES, (schema,)).fetchall():
            what = sql.SQL("sum(hashtextextended(t::text, 0))" if part.hashed else "null")
            statement = sql.SQL("select count(*), {} from {} t").format(what, sql.Identifier(schema, table))
            found = connection.execute(statement).fetchone()
            assert found is not None
            name = f"{schema}.{table}"
            rows[name] = found[0]
            if part.hashed:
                hashes[name] = str(found[1])
    return rows, hashes


def load(part: Part, dump: Path, schemas: Collection[str]) -> None:
    """Create the tables of a dump, with their rows, in an empty database. Raises BackupFailed."""
    if not schemas:
        return
    with part.connect() as connection:
        there = {name for (name,) in connection.execute("select nspname from pg_namespace").fetchall()}
        for name in sorted(set(schemas) - there):
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
    wanted = [f"--schema={name}" for name in schemas]
    _run("pg_restore", part.database, ["--exit-on-error", "--no-owner", "--no-acl", *wanted, str(dump)])


def _lock(connection: psycopg.Connection[Any], part: Part) -> None:
    connection.execute("select set_config('lock_timeout', %s, true)", (f"{_LOCK_MILLISECONDS}ms",))
    table = _WRITTEN.get(part.key)
    if table and connection.execute("select to_regclass(%s)", (table,)).fetchone() != (None,):
        connection.execute(sql.SQL("lock table {} in share mode").format(sql.Identifier(table)))


def _open_snapshot(held: ExitStack, part: Part) -> tuple[psycopg.Connection[Any], str]:
    connection = held.enter_context(part.connect())
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    found = connection.execute("select pg_export_snapshot()").fetchone()
    assert found is not None
    return connection, found[0]


def _quote_pattern(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(program: str, database: Database, options: list[str]) -> None:
    target = ["--host", database.host, "--port", str(database.port), "--username", database.role]
    secret = {"PGPASSWORD": database.password.get_secret_value(), "PGSSLMODE": database.sslmode}
    done = subprocess.run(
        [find_binaries() / program, "--no-password", *target, "--dbname", database.name, *options],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **secret, "PGGSSENCMODE": "disable"},
        check=False,
    )
    if done.returncode:
        raise BackupFailed(
            f"{program} of database {database.name} failed: {done.stderr.strip()}",
            unharmed="the database",
            next_step="fix the cause and repeat the command",
        )
