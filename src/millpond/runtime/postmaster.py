"""Finds the Postgres server of a home by its pid file."""

from __future__ import annotations

import os
import select
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from millpond.runtime.home import Home
from millpond.runtime.processes import start_time


class _Handle:
    """A process, however its number is used later; only this process closes the file behind it."""

    def __init__(self, pid: int) -> None:
        self._file = os.pidfd_open(pid)
        weakref.finalize(self, _close, self._file, os.getpid())

    @property
    def is_running(self) -> bool:
        ended = select.poll()
        ended.register(self._file, select.POLLIN)
        return not ended.poll(0)


def _close(file: int, owner: int) -> None:
    if owner == os.getpid():
        os.close(file)


def _open_handle(pid: int) -> _Handle | None:
    """Return a handle of process `pid`; None if it has ended, and where there are no handles."""
    try:
        return _Handle(pid)
    except (AttributeError, OSError):
        return None


@dataclass(frozen=True)
class Server:
    """A running Postgres server of a home."""

    pid: int
    started: float
    port: int
    sockets: Path
    pid_file: Path
    handle: _Handle | None = field(compare=False)
    seen: tuple[int, int, int] | None = field(compare=False)
    """What the pid file looked like."""

    @property
    def alive(self) -> bool:
        """Whether this server still accepts connections; takes a few microseconds."""
        if self.handle and self.handle.is_running and self.seen == _look_at(self.pid_file):
            return True
        lines = _read_lines(self.pid_file)
        return _is_ready(lines) and lines[0] == str(self.pid) and start_time(self.pid) == self.started


def find_server(home: Home) -> Server | None:
    """Return the server of `home` if it runs and accepts connections."""
    pid_file = _pid_file(home)
    seen, lines = _look_at(pid_file), _read_lines(pid_file)
    if not _is_ready(lines):
        return None
    pid = int(lines[0])
    handle = _open_handle(pid)
    if not _is_postmaster(pid, data_folder(home)) or not (started := start_time(pid)):
        return None
    return Server(pid, started, int(lines[3]), Path(lines[4].strip()), pid_file, handle, seen)


def data_folder(home: Home) -> Path:
    """Return the folder of the server's data."""
    return home.postgres / "data"


def read_claimed_pid(home: Home) -> int | None:
    """Return the pid of a server that is starting or stopping; removes the pid file of a dead one."""
    pid_file = _pid_file(home)
    lines = _read_lines(pid_file)
    if not lines and not pid_file.exists():
        return None
    if lines and lines[0].isdecimal() and _is_postmaster(pid := int(lines[0]), data_folder(home)):
        return pid
    # Postgres removes the file of a dead server itself, unless its pid is in use again or the file is empty.
    pid_file.unlink(missing_ok=True)
    return None


def is_stopping(home: Home) -> bool:
    """Return whether the server's pid file says that it was told to stop."""
    return _state(_read_lines(_pid_file(home))) == "stopping"


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        command = [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    if len(command) < 3 or Path(command[0]).name != "postgres" or command[1] != "-D":
        return False
    try:
        return os.path.samefile(command[2], data)
    except FileNotFoundError:
        return False


def _look_at(pid_file: Path) -> tuple[int, int, int] | None:
    """Return what changes with what the pid file says; None if it is gone."""
    try:
        found = os.stat(pid_file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_ready(lines: list[str]) -> bool:
    return _state(lines) == "ready"


def _state(lines: list[str]) -> str:
    return lines[7].strip() if len(lines) >= 8 else ""


def _read_lines(pid_file: Path) -> list[str]:
    try:
        return pid_file.read_text().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []


def _pid_file(home: Home) -> Path:
    return data_folder(home) / "postmaster.pid"
