"""Nobody but the owner of a home reaches its Postgres, and no more rights are needed than the owner has."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from embedded_server import SHOW_SERVER, answers, outputs, run_python, server_of

from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.postmaster import data_folder
from millpond.settings import process_environment, settings

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def needs_an_open_interpreter() -> None:
    closed = [f for f in Path(sys.executable).resolve().parents if not f.stat().st_mode & stat.S_IXOTH]
    if closed:
        pytest.skip(f"the interpreter lies below {closed[-1]}, which is closed to other users")


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


@AS_ROOT
def test_root_opens_no_more_than_the_way_to_the_data(
    fresh_home: Callable[..., Home], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Not below tmp_path, which another pytest of this machine closes again when it starts.
    closed = settings().home.parent / tmp_path.name / "closed"
    closed.mkdir(mode=0o700, parents=True)
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
