"""Dagster's tables of an empty home: created at once and together, as Dagster itself creates them."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

from millpond import crash_points
from millpond.instance.home import open_instance
from millpond.runtime import postgres
from millpond.runtime.databases import connect_superuser, databases
from millpond.runtime.home import Home
from processes import exit_codes, start

THEIRS = "made_by_dagster"
CONTENTS: tuple[LiteralString, ...] = (
    "select table_name, column_name, data_type, is_nullable, column_default"
    " from information_schema.columns where table_schema = 'public'",
    "select indexdef from pg_indexes where schemaname = 'public'",
    "select conname, pg_get_constraintdef(oid) from pg_constraint"
    " where connamespace = 'public'::regnamespace",
    "select version_num from alembic_version",
    "select name, migration_completed is not null from secondary_indexes",
)


@pytest.fixture
def empty(home: Home) -> None:
    with superuser(home, "dagster") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public AUTHORIZATION millpond_dagster")


@pytest.fixture
def theirs(home: Home) -> Iterator[str]:
    """The address of an empty database for Dagster alone."""
    with superuser(home, "postgres") as connection:
        connection.autocommit = True
        connection.execute(f"CREATE DATABASE {THEIRS} OWNER millpond_dagster")
        address = databases().dagster.uri_for_others.get_secret_value()
        yield address.replace("/dagster?", f"/{THEIRS}?")
        connection.execute(f"DROP DATABASE {THEIRS} WITH (FORCE)")


def superuser(home: Home, database: str) -> psycopg.Connection[Any]:
    server = postgres.find_server(home)
    assert server is not None
    return connect_superuser(home, server, database)


def read_contents(address: str) -> list[list[Any]]:
    with psycopg.connect(address) as connection:
        return [sorted(connection.execute(statement).fetchall()) for statement in CONTENTS]


def find_no_runs(log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        with open_instance() as recorded:
            assert recorded.get_runs() == []


def die_before_commit() -> None:
    crash_points.arm("dagster.tables_created")
    open_instance()


@pytest.mark.usefixtures("empty")
def test_processes_that_make_the_tables_at_once_do_not_collide(home: Home, tmp_path: Path) -> None:
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    assert exit_codes([start(find_no_runs, log) for log in logs]) == [0, 0]
    assert [log.read_text() for log in logs] == ["", ""]


@pytest.mark.usefixtures("empty")
def test_a_kill_leaves_no_table_and_the_next_process_makes_what_dagster_makes(
    home: Home, theirs: str
) -> None:
    ours = databases().dagster.uri.get_secret_value()
    assert exit_codes([start(die_before_commit)]) == [-signal.SIGKILL]
    with psycopg.connect(ours) as connection:
        assert connection.execute(
            "select count(*) from pg_tables where schemaname = 'public'"
        ).fetchone() == (0,)
    with open_instance() as recorded:
        assert recorded.get_runs() == []
    for kind in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
        kind(theirs, True).dispose()
    assert read_contents(ours) == read_contents(theirs)


@pytest.mark.usefixtures("empty")
def test_the_tables_are_made_in_one_transaction(home: Home) -> None:
    with open_instance():
        pass
    with databases().dagster.connect() as connection:
        made = "select count(distinct xmin::text) from pg_class where relnamespace = 'public'::regnamespace"
        assert connection.execute(made).fetchone() == (1,)
