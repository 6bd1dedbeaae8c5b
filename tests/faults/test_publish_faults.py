"""Publishing while processes are killed, Postgres dies and others hold locks: the old mart or the new one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from millpond.errors import PublishFailed
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.publish import binary_copy, publication
from millpond.publish.locks import publish_lock_key
from millpond.publish.publication import publish
from millpond.publish.spec import MartSpec, PublishDeclaration
from millpond.runtime import postgres
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings
from processes import exit_code

Connection = psycopg.Connection[Any]
ROWS = 3
MART = MartSpec(name="mrt_days", table="gold.mrt_days", declared=PublishDeclaration(key=("id",)))


def write(version: int, **more: int) -> None:
    columns = {"id": range(ROWS), "version": [version] * ROWS, **{k: [v] * ROWS for k, v in more.items()}}
    table = pa.table(columns)
    replace([Replacement(TableSpec(MART.table, table.schema), table, None)], ref="main", run_id="test")


def publish_as(run_id: str) -> None:
    publish([MART], ref="main", run_id=run_id)


def versions(connection: Connection) -> list[tuple[int, int]]:
    return connection.execute("SELECT version, count(*) FROM marts.mrt_days GROUP BY 1").fetchall()


@pytest.fixture
def other(home: Home) -> Iterator[Connection]:
    """A connection of somebody who works with the marts; version 1 is published."""
    write(1)
    publish([MART], ref="main", run_id="first")
    with databases().marts.connect() as connection:
        connection.execute("SET application_name = 'somebody'")
        connection.commit()
        yield connection


def wait_for(connection: Connection, question: str, expected: object) -> None:
    deadline = time.monotonic() + 20
    while (found := connection.execute(question).fetchone()) != (expected,):  # type: ignore[arg-type]
        assert time.monotonic() < deadline, found
        connection.rollback()
    connection.rollback()


@pytest.mark.parametrize(
    ("place", "version"), [("publish.copied", 1), ("publish.swapping", 1), ("publish.swapped", 2)]
)
def test_a_killed_publish_leaves_the_old_mart_or_the_new_one_and_nothing_else(
    place: str, version: int, other: Connection
) -> None:
    write(2)
    assert exit_code(publish_as, "killed", crash_at=[place]) == -signal.SIGKILL
    wait_for(other, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%killed'", 0)
    assert versions(other) == [(version, ROWS)]
    wait_for(other, "SELECT count(*) FROM pg_tables WHERE tableowner = current_user", 1)
    (published,) = publish([MART], ref="main", run_id="again")
    assert versions(other) == [(2, ROWS)]
    assert published.rows_changed == {1: ROWS, 2: 0}[version]


def test_a_killed_first_publish_leaves_nothing(other: Connection) -> None:
    other.execute("DROP TABLE marts.mrt_days")
    other.commit()
    assert exit_code(publish_as, "killed", crash_at=["publish.swapping"]) == -signal.SIGKILL
    wait_for(other, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%killed'", 0)
    wait_for(other, "SELECT count(*) FROM pg_tables WHERE tableowner = current_user", 0)
    publish_as("again")
    assert versions(other) == [(1, ROWS)]


def test_a_connection_cut_in_the_middle_of_the_copy_is_made_anew(
    other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(2)
    cut = threading.Event()

    def cutting(*args: Any) -> Iterator[bytes]:
        for block in original(*args):
            yield block
            if not cut.is_set():
                cut.set()
                other.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name LIKE '%cut'"
                )
                other.commit()

    original = binary_copy.encode_table
    monkeypatch.setattr(binary_copy, "encode_table", cutting)
    publish([MART], ref="main", run_id="cut")
    assert cut.is_set()
    assert versions(other) == [(2, ROWS)]


@pytest.mark.parametrize("place", ["publish.copied", "publish.swapping"])
def test_a_server_killed_while_publishing_comes_back_and_the_publish_completes(
    place: str, home: Home, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(2)
    killed: list[int] = []

    def kill_server(name: str) -> None:
        if name == place and not killed:
            server = postgres.find_server(home)
            assert server is not None
            killed.append(server.pid)
            os.kill(server.pid, signal.SIGKILL)

    monkeypatch.setattr(publication, "reached", kill_server)
    publish([MART], ref="main", run_id="again")
    assert killed
    with databases().marts.connect() as connection:
        assert versions(connection) == [(2, ROWS)]


def test_a_reader_in_an_open_transaction_neither_waits_nor_blocks(other: Connection) -> None:
    other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert versions(other) == [(1, ROWS)]
    write(2)
    publish([MART], ref="main", run_id="second")
    assert versions(other) == [(1, ROWS)], "its snapshot is the old one, whole"
    other.commit()
    assert versions(other) == [(2, ROWS)]


def test_a_lock_that_is_released_is_waited_for(other: Connection) -> None:
    write(2)
    other.execute("LOCK TABLE marts.mrt_days IN SHARE MODE")

    def release() -> None:
        with databases().marts.connect() as watching:
            wait_for(watching, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1)
        other.commit()

    releasing = threading.Thread(target=release)
    releasing.start()
    publish([MART], ref="main", run_id="second")
    releasing.join()
    assert versions(other) == [(2, ROWS)]


@pytest.mark.parametrize(
    ("statement", "more"),
    [("LOCK TABLE marts.mrt_days IN SHARE MODE", {}), ("SELECT * FROM marts.mrt_days", {"added": 5})],
    ids=["locked", "read while a column is added"],
)
def test_a_lock_that_is_held_too_long_ends_in_an_error_that_names_its_holder(
    statement: str, more: dict[str, int], other: Connection, configure: Callable[..., Settings]
) -> None:
    configure(lock_seconds=0.3)
    write(2, **more)
    other.execute(statement)  # type: ignore[arg-type]
    pid = other.info.backend_pid
    with pytest.raises(PublishFailed) as failed:
        publish([MART], ref="main", run_id="second")
    assert f"process {pid} (millpond_marts, somebody" in failed.value.what
    assert failed.value.unharmed
    other.rollback()
    assert versions(other) == [(1, ROWS)]
    other.rollback()
    publish([MART], ref="main", run_id="third")
    assert versions(other) == [(2, ROWS)]


def test_a_reader_with_another_role_is_named_too(
    other: Connection, configure: Callable[..., Settings]
) -> None:
    configure(lock_seconds=0.3)
    write(2, added=1)
    with databases().marts_readonly.connect() as reader:
        reader.execute("SET application_name = 'superset'")
        versions(reader)
        with pytest.raises(
            PublishFailed, match=rf"process {reader.info.backend_pid} \(millpond_read, superset"
        ):
            publish([MART], ref="main", run_id="second")


def test_a_publish_that_another_holds_up_names_it(
    other: Connection, configure: Callable[..., Settings]
) -> None:
    configure(lock_seconds=0.3)
    other.execute("SELECT pg_advisory_lock(%s)", (publish_lock_key("marts"),))
    with pytest.raises(PublishFailed, match=rf"process {other.info.backend_pid} \("):
        publish([MART], ref="main", run_id="second")
