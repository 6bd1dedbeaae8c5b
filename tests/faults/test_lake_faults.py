"""The lake while processes are killed, connections break and disks fill: the old rows or the new ones."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from lake_readings import SCHEMA, days, found, rows, spec, write
from millpond.errors import StorageFailed
from millpond.lake import locks, merge, read, refs
from millpond.lake.connect import connect
from millpond.lake.hashing import Digests
from millpond.lake.housekeeping import remove_orphans
from millpond.lake.most_rows import MostRows
from millpond.lake.ref_log import list_commits
from millpond.lake.tables import Replacement, Written, replace
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server as found_server
from processes import exit_code

pytestmark = pytest.mark.usefixtures("home")

Check = Callable[[Digests, Digests, MostRows], None]
_BEFORE = ["lake.data_files_written", "lake.metadata_written", "lake.before_swap"]
_AFTER = ["lake.swapped"]


@pytest.mark.parametrize("point", _BEFORE)
def test_a_write_killed_before_its_swap_leaves_the_old_rows_and_can_be_repeated(point: str) -> None:
    write({0: [1], 1: [2]})
    assert exit_code(write, {0: [10], 1: [20]}, crash_at=[point]) == -signal.SIGKILL
    assert found() == {0: [1], 1: [2]}
    assert write({0: [10], 1: [20]}).changed
    assert found() == {0: [10], 1: [20]}


@pytest.mark.parametrize("point", _AFTER)
def test_a_write_killed_after_its_swap_has_landed_and_is_not_repeated(point: str) -> None:
    write({0: [1]})
    assert exit_code(write, {0: [10]}, crash_at=[point]) == -signal.SIGKILL
    assert found() == {0: [10]}
    assert not write({0: [10]}).changed


@pytest.mark.parametrize("point", _BEFORE + _AFTER)
def test_a_killed_creation_leaves_no_table_or_a_whole_one(point: str) -> None:
    assert exit_code(write, {0: [1]}, crash_at=[point]) == -signal.SIGKILL
    assert read.exists("main", "raw.readings") == (point in _AFTER)
    write({0: [1]})
    assert found() == {0: [1]}


class _Proxy:
    """Stands between a client and Postgres, and cuts the line once: before or after the next commit."""

    def __init__(self, port: int, *, after: bool) -> None:
        self._target, self._after, self.cuts = ("127.0.0.1", port), after, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._run(self._accept)

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection that goes through here."""
        uri = databases().catalog.uri.get_secret_value()
        return psycopg.connect(re.sub(r":\d+/lake", f":{self.port}/lake", uri), autocommit=True)

    def close(self) -> None:
        for line in [self._listener, *self._lines]:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._lines += [client, server]
                self._run(self._to_server, client, server)
                self._run(self._to_client, server, client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT\0" in data and not self.cuts:
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)
                    if self._after:
                        server.sendall(data)
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)

    @staticmethod
    def _run(work: Callable[..., None], *lines: socket.socket) -> None:
        threading.Thread(target=work, args=lines, daemon=True).start()


@pytest.fixture(params=[False, True], ids=["before the commit", "after the commit"])
def proxy(request: pytest.FixtureRequest) -> Iterator[_Proxy]:
    with closing(_Proxy(databases().catalog.port, after=request.param)) as made:
        yield made


def test_a_connection_cut_at_the_commit_doubles_and_loses_nothing(
    proxy: _Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({0: [1], 1: [2]})
    monkeypatch.setattr(locks, "borrow_session", lambda: closing(proxy.connect()))
    written = write({0: [10]})
    assert proxy.cuts == 1
    assert (written.changed, written.rows) == (True, 1)
    assert found() == {0: [10], 1: [2]}
    table = read.load_table("main", "raw.readings")
    assert written.snapshot_id == table.metadata.current_snapshot_id
    assert len(table.metadata.snapshots) == 2


def test_a_merge_cut_at_its_commit_happens_once(proxy: _Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    monkeypatch.setattr(merge, "borrow_connection", lambda: closing(proxy.connect()))
    assert refs.merge("dev").tables == ("raw.readings",)
    assert proxy.cuts == 1
    assert found() == {0: [2]}
    assert [ref.name for ref in refs.list_refs()] == ["main"]


_WAITING = """
select pid from pg_stat_activity where application_name like 'millpond % blocked' and wait_event_type = 'Lock'
"""


@pytest.fixture
def blocker() -> Iterator[psycopg.Connection[Any]]:
    """A session that holds the pointer of raw.readings, which held the value 1, until it rolls back."""
    write({0: [1]})
    with closing(connect()) as conn:
        conn.execute("begin")
        conn.execute("select 1 from iceberg_tables where catalog_name = 'main' for update")
        yield conn


def _blocked_write(pool: ThreadPoolExecutor) -> Future[Written]:
    """Start a write of the value 2 and return when it hangs in its swap."""
    future = pool.submit(write, {0: [2]}, run="blocked")
    with closing(connect()) as watcher:
        while not watcher.execute(_WAITING).fetchone():
            assert not future.done()
    return future


def test_a_session_terminated_in_the_swap_is_replaced_and_the_write_lands(
    blocker: psycopg.Connection[Any],
) -> None:
    with ThreadPoolExecutor() as pool:
        future = _blocked_write(pool)
        with closing(connect()) as conn:
            killed = conn.execute(f"select pg_terminate_backend(pid) from ({_WAITING})").fetchall()
        blocker.execute("rollback")
        assert killed == [(True,)]
        assert future.result(60).changed
    assert found() == {0: [2]}


def test_a_postgres_killed_in_the_swap_is_started_again_and_the_write_lands(
    home: Home, blocker: psycopg.Connection[Any]
) -> None:
    with ThreadPoolExecutor() as pool:
        future = _blocked_write(pool)
        server = found_server(home)
        assert server is not None
        psutil.Process(server.pid).kill()
        assert future.result(60).changed
    assert found() == {0: [2]}


def _write_on_a_full_disk(bytes_free: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))
    try:
        write({0: range(5000)})
    except StorageFailed:
        os._exit(7)


@pytest.mark.parametrize("bytes_free", [100, 5000])
def test_a_full_disk_fails_the_write_cleanly(home: Home, bytes_free: int) -> None:
    write({0: [1]})
    before = sorted(home.warehouse.rglob("*"))
    assert exit_code(_write_on_a_full_disk, bytes_free) == 7
    assert found() == {0: [1]}
    assert sorted(home.warehouse.rglob("*")) == before
    assert write({0: range(5000)}).changed


TEN = [spec(f"raw.readings{n}") for n in range(10)]


def _write_ten(values: dict[int, list[int]], check: Check | None = None) -> None:
    """Replace two days of ten tables in one commit; `check` is called before the seventh is written."""
    data = rows(values)
    replace(
        [Replacement(table, data, days(0, 1), check if n == 6 else None) for n, table in enumerate(TEN)],
        ref="main",
        run_id="ten",
    )


def _write_ten_and_interrupt() -> None:
    received = threading.Event()

    def stop(*_: object) -> None:
        received.set()
        raise KeyboardInterrupt

    def check(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert received.wait(60)

    signal.signal(signal.SIGINT, stop)
    try:
        _write_ten({0: [2], 1: [2]}, check)
    except KeyboardInterrupt:
        os._exit(7)


def test_ten_tables_written_at_once_change_together_whatever_stops_them(home: Home) -> None:
    def files() -> set[Path]:
        return set(home.warehouse.rglob("*.*"))

    def refuse(*_: object) -> None:
        raise StorageFailed("the seventh is refused", next_step="")

    _write_ten({0: [1], 1: [1]})
    first = files()
    with pytest.raises(StorageFailed, match="the seventh is refused"):
        _write_ten({0: [2], 1: [2]}, refuse)
    assert exit_code(_write_ten_and_interrupt) == 7
    assert files() == first
    assert exit_code(_write_ten, {0: [2], 1: [2]}, crash_at=["lake.data_files_written"]) == -signal.SIGKILL
    assert len(files() - first) > len(TEN)
    assert [found(table.name) for table in TEN] == [{0: [1], 1: [1]}] * 10
    for file in files():
        os.utime(file, (0, 0))
    remove_orphans()
    assert files() == first
    _write_ten({0: [3], 1: [3]})
    assert [found(table.name) for table in TEN] == [{0: [3], 1: [3]}] * 10
    (commit,) = list_commits("main", limit=1)
    assert sorted(commit.tables) == [table.name for table in TEN]


def test_threads_of_one_process_write_side_by_side() -> None:
    tables = [spec(f"raw.readings{n}") for n in range(4)]
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(3):
                replace([Replacement(tables[number], rows({0: [i]}), days(0, 0))], ref="main", run_id="run")
        except BaseException as error:  # noqa: BLE001 - reported below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [found(t.name) for t in tables] == [{0: [2]}] * 4
    assert SCHEMA.names == read.scan("main", "raw.readings0").column_names
