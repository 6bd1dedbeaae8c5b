"""The embedded Postgres starts once, survives whoever started it, and comes back after a crash."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from embedded_server import SHOW_SERVER, answers, outputs, run_python, server_of

from millpond.errors import EmbeddedPartError
from millpond.runtime import postgres
from millpond.runtime.databases import databases
from millpond.runtime.down import down
from millpond.runtime.home import Home
from millpond.runtime.postmaster import data_folder, find_server
from millpond.runtime.processes import start_time
from millpond.settings import Settings, process_environment, settings


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            pass


def test_processes_that_start_at_once_share_one_server_that_outlives_them(
    fresh_home: Callable[..., Home],
) -> None:
    home = fresh_home()
    seen = outputs([run_python(SHOW_SERVER, env=process_environment()) for _ in range(4)])
    assert len(set(seen)) == 1
    assert find_server(home) is not None
    assert outputs([run_python(SHOW_SERVER, env=process_environment())]) == seen[:1]


def test_a_home_made_under_a_strict_umask_has_a_server_and_so_has_one_that_was_closed_since(
    fresh_home: Callable[..., Home],
) -> None:
    before = os.umask(0o077)
    try:
        home = fresh_home()
        for mode in (0o710, 0o700):
            with databases().ops.connect() as connection:
                assert connection.execute("select 1").fetchone()
            down(settings())
            home.run.chmod(mode)
    finally:
        os.umask(before)


def test_threads_that_start_at_once_share_one_server(home: Home) -> None:
    down(settings())
    seen: set[int] = set()
    threads = [threading.Thread(target=lambda: seen.add(databases().ops.port)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {server_of(home).port}


def test_a_warm_process_learns_its_databases_without_process_or_connection(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("neither a process nor a connection is needed")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("psycopg.connect", refuse)
    assert databases().ops.port == server_of(home).port


def test_the_next_use_recovers_from_a_killed_server(home: Home) -> None:
    with databases().ops.connect() as connection:
        connection.execute("CREATE TABLE kept (a int)")
    before = server_of(home)
    kill(before.pid)
    with databases().ops.connect() as connection:
        connection.execute("DROP TABLE kept")
    assert server_of(home).pid != before.pid
    assert server_of(home).port == before.port


def test_a_connection_held_from_before_the_crash_opens_anew(home: Home) -> None:
    ops = databases().ops
    kill(server_of(home).pid)
    with ops.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("claim", ["", f"{os.getpid()}\n", "\0\0\0\0"], ids=["empty", "pid-reused", "torn"])
def test_the_next_use_recovers_from_a_pid_file_that_a_power_cut_left(home: Home, claim: str) -> None:
    kill(server_of(home).pid)
    pid_file = data_folder(home) / "postmaster.pid"
    pid_file.write_text(
        claim + "\n".join(pid_file.read_text().splitlines()[1:]) if claim.strip("\0") else claim
    )
    assert answers()


def test_a_server_is_alive_while_its_process_runs_and_its_pid_file_says_so(home: Home) -> None:
    assert answers()
    server, pid_file = server_of(home), data_folder(home) / "postmaster.pid"
    says = pid_file.read_bytes()
    assert server.alive
    pid_file.write_bytes(says.replace(b"ready   ", b"stopping"))
    assert not server.alive
    pid_file.write_bytes(says)
    assert server.alive
    kill(server.pid)
    assert not server.alive
    assert pid_file.read_bytes() == says


def test_looking_for_a_server_leaves_no_file_open(home: Home) -> None:
    assert answers()
    before = len(os.listdir("/dev/fd"))
    assert all(find_server(home) for _ in range(20))
    assert len(os.listdir("/dev/fd")) == before


def test_down_leaves_no_process_and_a_second_down_is_fine(home: Home) -> None:
    down(settings())  # also what tests before this one left running in this home
    assert answers()
    server = server_of(home)
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    assert down(settings()) == [f"postgres (process {server.pid}, port {server.port})"]
    assert not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert down(settings()) == []
    assert answers()


def test_down_makes_no_home_where_there_is_none(configure: Callable[..., Settings], tmp_path: Path) -> None:
    assert down(configure(home=tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


def test_a_kept_port_that_is_taken_is_given_up_and_said_so(
    fresh_home: Callable[..., Home], caplog: pytest.LogCaptureFixture
) -> None:
    home = fresh_home()
    assert answers()
    kept = server_of(home).port
    down(settings())
    with socket.create_server(("127.0.0.1", kept)):
        assert answers()
        assert server_of(home).port != kept
    assert f"port {kept} of embedded Postgres is in use" in caplog.text


def test_a_configured_port_that_is_taken_is_an_error_that_names_the_setting(
    fresh_home: Callable[..., Home],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        fresh_home(postgres_port=other.getsockname()[1])
        with pytest.raises(EmbeddedPartError, match="MILLPOND_POSTGRES_PORT is in use"):
            databases()


def test_a_connection_waits_while_all_are_taken(home: Home) -> None:
    ops = databases().ops
    with ExitStack() as taken:
        held = [taken.enter_context(ops.connect())]
        with suppress(psycopg.OperationalError):
            while len(held) < 100:
                held.append(taken.enter_context(psycopg.connect(ops.uri.get_secret_value())))
        assert len(held) < 100
        threading.Timer(0.2, held[0].close).start()
        with ops.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_waits_while_the_server_recovers_from_a_killed_session(home: Home) -> None:
    ops = databases().ops
    with closing(ops.connect()) as session:
        kill(session.info.backend_pid)
        with suppress(psycopg.OperationalError):
            while True:
                with psycopg.connect(ops.uri.get_secret_value()) as other:
                    other.execute("SELECT 1")
        with ops.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("use", [pytest.param("the next use", marks=pytest.mark.slow), "down"])
def test_a_server_that_was_told_to_stop_and_does_not_is_ended(
    home: Home, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    monkeypatch.setattr(postgres, "_START_SECONDS", 5.0 if use == "the next use" else 0.5)
    monkeypatch.setattr(postgres, "_STOP_SECONDS", 0.2)
    server = server_of(home)
    psutil.Process(server.pid).suspend()
    server.pid_file.write_text(server.pid_file.read_text().replace("ready   ", "stopping"))
    if use == "down":
        down(settings())
    else:
        with databases().ops.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert start_time(server.pid) is None
