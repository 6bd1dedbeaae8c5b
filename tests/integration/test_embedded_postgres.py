"""The embedded Postgres starts once, survives whoever started it, and comes back after a crash."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from millpond.errors import EmbeddedPartError
from millpond.runtime.databases import databases
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import Server, data_folder, find_server
from millpond.settings import Settings, process_environment, settings

SHOW_SERVER = """
from millpond.runtime.databases import databases
with databases().ops.connect() as connection:
    print(*connection.execute("SELECT pg_postmaster_start_time()::text").fetchone())
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def needs_an_open_interpreter() -> None:
    closed = [f for f in Path(sys.executable).resolve().parents if not f.stat().st_mode & stat.S_IXOTH]
    if closed:
        pytest.skip(f"the interpreter lies below {closed[-1]}, which is closed to other users")


@pytest.fixture
def fresh_home(configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """Return a function that moves this test to a home without a cluster."""
    used = []
    open_to_all = settings().home.parent / tmp_path.name

    def moved(folder: Path = open_to_all, **values: object) -> Home:
        used.append(configure(home=folder, **values))
        return layout(used[-1])

    yield moved
    for each in used:
        down(each)


def server_of(home: Home) -> Server:
    server = find_server(home)
    assert server is not None
    return server


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        pass


def answers() -> bool:
    with databases().ops.connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def run_python(code: str, **options: object) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], **{**pipes, **options})  # type: ignore[call-overload, no-any-return]


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    results = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in results] == [""] * len(results)
    return [output.strip() for output, _ in results]


def test_processes_that_start_at_once_share_one_server_that_outlives_them(
    fresh_home: Callable[..., Home],
) -> None:
    home = fresh_home()
    seen = outputs([run_python(SHOW_SERVER, env=process_environment()) for _ in range(4)])
    assert len(set(seen)) == 1
    assert find_server(home) is not None
    assert outputs([run_python(SHOW_SERVER, env=process_environment())]) == seen[:1]


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


def test_nothing_listens_beyond_loopback(home: Home) -> None:
    server = server_of(home)
    listening = [c.laddr for c in psutil.Process(server.pid).net_connections("inet")]
    assert listening == [("127.0.0.1", server.port)]


def test_secrets_and_sockets_are_closed_to_other_users(home: Home) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (
            home.postgres / "passwords.json",
            data_folder(home),
            server_of(home).sockets,
            home.warehouse,
        )
    }
    assert modes == {"passwords.json": 0o600, "data": 0o700, "postgres": 0o700, "warehouse": 0o700}
    assert stat.S_IMODE(home.root.stat().st_mode) & 0o066 == 0


def test_no_password_shows_in_logs_command_lines_or_representations(home: Home) -> None:
    everything = databases()
    command_lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    shown = (home.logs / "postgres.log").read_text() + repr(everything) + "\n".join(command_lines)
    for database in (everything.dagster, everything.catalog, everything.marts_readonly):
        assert database.password.get_secret_value() not in shown


def test_a_home_too_deep_for_a_socket_works(fresh_home: Callable[..., Home], tmp_path: Path) -> None:
    deep = tmp_path / ("deep " * 10).strip() / "it's \\ a, $HOME" / ("x" * 80)
    home = fresh_home(deep)
    assert answers()
    sockets = server_of(home).sockets
    assert len(os.fsencode(sockets)) < 80
    down(settings())
    assert not sockets.exists()


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
    assert f"port {kept} of the embedded Postgres is taken" in caplog.text


def test_a_configured_port_that_is_taken_is_an_error_that_names_the_setting(
    fresh_home: Callable[..., Home],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        fresh_home(postgres_port=other.getsockname()[1])
        with pytest.raises(EmbeddedPartError, match="MILLPOND_POSTGRES_PORT, is taken"):
            databases()


def test_a_failed_start_shows_the_end_of_the_servers_log(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    assert answers()
    down(settings())
    control = data_folder(home) / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(EmbeddedPartError, match="pg_control") as failed:
        databases()
    assert str(home.logs / "postgres.log") in failed.value.next_step
    control.with_suffix(".away").rename(control)
    assert answers()
    down(settings())
    (data_folder(home) / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPartError, match="made by Postgres 17"):
        databases()


def test_a_half_made_cluster_of_a_killed_process_is_replaced(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    (home.postgres / "data.new").mkdir()
    (home.postgres / "data.new" / "rubbish").touch()
    (home.postgres / "initial_password").touch()
    assert answers()
    assert not (home.postgres / "initial_password").exists()


def test_a_process_killed_while_it_makes_the_cluster_is_followed_by_one_that_succeeds(
    fresh_home: Callable[..., Home],
) -> None:
    home = fresh_home()
    with run_python(SHOW_SERVER, env=process_environment()) as killed:
        while not (home.postgres / "data.new" / "base").exists():
            assert killed.poll() is None
        killed.kill()
    assert answers()
    assert sorted(path.name for path in home.postgres.iterdir() if path.is_dir()) == ["data"]


def test_a_new_cluster_in_an_old_home_is_provisioned(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    assert answers()
    down(settings())
    data_folder(home).rename(home.postgres / "moved_away")
    assert answers()


def test_a_lost_password_file_is_an_error_that_says_so(home: Home) -> None:
    passwords = home.postgres / "passwords.json"
    passwords.rename(passwords.with_suffix(".away"))
    down(settings())
    try:
        with pytest.raises(EmbeddedPartError, match="passwords"):
            databases()
    finally:
        passwords.with_suffix(".away").rename(passwords)


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


@AS_ROOT
def test_root_opens_no_more_than_the_way_to_the_data(
    fresh_home: Callable[..., Home], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = fresh_home(closed / "home")
    assert answers()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert str(closed) in caplog.text
    assert psutil.Process(server_of(home).pid).username() != "root"


@AS_ROOT
def test_an_ordinary_user_needs_no_rights_but_the_own(tmp_path: Path) -> None:
    needs_an_open_interpreter()
    nobody = pwd.getpwnam("nobody")
    for folder in tmp_path.parents:
        if folder.stat().st_mode & stat.S_IXOTH == 0:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    tmp_path.chmod(0o711)
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    environment = process_environment(MILLPOND_HOME=str(own / "home"), HOME=str(own))
    code = SHOW_SERVER + "from millpond.runtime.down import down\nfrom millpond.settings import settings\n"
    identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": own}
    [output] = outputs([run_python(code + "print(*down(settings()))", env=environment, **identity)])
    assert "postgres (process" in output
    assert (own / "home" / "postgres" / "data").stat().st_uid == nobody.pw_uid
    assert stat.S_IMODE((own / "home").stat().st_mode) == 0o700


@AS_ROOT
def test_somebody_elses_home_is_an_error_that_names_the_folder(tmp_path: Path, home: Home) -> None:
    needs_an_open_interpreter()
    nobody = pwd.getpwnam("nobody")
    code = """
from millpond.errors import EmbeddedPartError
from millpond.runtime.databases import databases
try:
    databases()
except EmbeddedPartError as error:
    print(error)
"""
    identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    [output] = outputs([run_python(code, env=process_environment(), **identity)])
    assert str(home.root) in output
    assert "MILLPOND_HOME" in output
