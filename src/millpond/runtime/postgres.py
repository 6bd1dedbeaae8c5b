"""Starts and stops the embedded Postgres."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

from millpond.errors import EmbeddedPartError
from millpond.runtime.cluster import ENVIRONMENT, check_version, configure, find_binaries, initialize
from millpond.runtime.home import Home
from millpond.runtime.ports import choose_port, is_free
from millpond.runtime.postmaster import Server, data_folder, find_server, is_stopping, read_claimed_pid
from millpond.runtime.processes import end_process, spawn, start_time, tail
from millpond.runtime.service_user import find_service_user, grant_passage

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.01
_AT_ONCE = (signal.SIGQUIT, signal.SIGKILL)


def start(home: Home, port: int, lock: int) -> Server:
    """Return the server of `home`, created and started if needed. The caller holds the start `lock`.

    `port` 0 means the last port, or a free one. Raises EmbeddedPartError with the end of the
    server's log if it does not start.
    """
    data = data_folder(home)
    user = find_service_user(data)
    if user:
        grant_passage(user, data, home.run / "postgres", find_binaries() / "postgres")
    deadline = time.monotonic() + _START_SECONDS
    if not (data / "PG_VERSION").exists():
        initialize(home, user, lock)
    check_version(data)
    if server := _await_server(home, deadline):
        return server
    log, deadline = home.logs / "postgres.log", time.monotonic() + _START_SECONDS
    _rotate(log)
    while True:
        begin = log.stat().st_size if log.exists() else 0
        if server := _await_server(home, deadline):
            return server
        wanted = choose_port(home.postgres / "port", port, home.root)
        pid = spawn(configure(home, wanted, user), log, user=user, environment=ENVIRONMENT)
        if server := _await_start(home, pid, deadline):
            (home.postgres / "port").write_text(f"{server.port}\n")
            return server
        if start_time(pid) is None and (
            time.monotonic() > deadline or not _may_retry(tail(log, begin), wanted)
        ):
            raise EmbeddedPartError(
                f"the embedded Postgres did not start; its log ends:\n{tail(log, begin)}",
                unharmed=f"the data in {data}",
                next_step=f"fix the cause and try again; its full log is {log}",
            )
        time.sleep(0.1)


def stop(home: Home) -> Server | None:
    """Stop the server of `home` and return it; None if none ran. The caller holds the start lock.

    Open transactions are rolled back. Raises EmbeddedPartError if the server does not end.
    """
    server = _await_server(home, time.monotonic() + _START_SECONDS, wanted=False)
    if server is None:
        return None
    if end_process(server.pid, server.started, (signal.SIGINT, *_AT_ONCE), _STOP_SECONDS):
        with suppress(OSError):
            server.sockets.rmdir()
        return server
    raise EmbeddedPartError(
        f"the embedded Postgres (process {server.pid}) does not end", next_step=f"kill -9 {server.pid}"
    )


def _await_server(home: Home, deadline: float, *, wanted: bool = True) -> Server | None:
    """Return the running server, after one that is starting or stopping has done so; None if none runs.

    One that was told to stop and has not by the deadline is ended, or any if none is `wanted`: what it had
    not written yet is recovered at the next start.
    """
    while True:
        if server := find_server(home):
            return server
        pid = read_claimed_pid(home)
        if pid is None:
            return None
        if time.monotonic() > deadline:
            hangs = not wanted or is_stopping(home)
            if hangs and end_process(pid, start_time(pid) or 0.0, _AT_ONCE, _STOP_SECONDS):
                continue
            raise EmbeddedPartError(
                f"the embedded Postgres (process {pid}) is neither starting nor stopping; it may be "
                "recovering from a crash",
                unharmed="the data",
                next_step=f"read {home.logs / 'postgres.log'} and try again; to end it: kill -9 {pid}",
            )
        time.sleep(_POLL_SECONDS)


def _await_start(home: Home, pid: int, deadline: float) -> Server | None:
    while start_time(pid) is not None and time.monotonic() < deadline:
        if server := find_server(home):
            return server
        time.sleep(_POLL_SECONDS)
    return find_server(home)


def _may_retry(log: str, port: int) -> bool:
    """Return whether a retry may help: the port is in use, or backends of a dead server remain."""
    return not is_free(port) or "pre-existing shared memory block" in log or "could not bind" in log


def _rotate(log: Path, limit: int = 10_000_000) -> None:
    if log.exists() and log.stat().st_size > limit:
        log.replace(log.with_suffix(".log.1"))
