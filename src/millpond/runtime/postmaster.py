"""Finds the Postgres server of a home by its pid file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from millpond.runtime.home import Home
from millpond.runtime.processes import start_time

_Traces = tuple[int, int, int, bytes]
"""Of the pid file its inode, size and time of change, and the tick at which the process started."""


@dataclass(frozen=True)
class Server:
    """A running Postgres server of a home."""

    pid: int
    started: float
    port: int
    sockets: Path
    pid_file: Path
    traces: _Traces | None

    @property
    def alive(self) -> bool:
        """Whether this server still accepts connections; takes a few microseconds."""
        if self.traces and self.traces == _find_traces(self.pid, self.pid_file):
            return True
        lines = _read_lines(self.pid_file)
        return _is_ready(lines) and lines[0] == str(self.pid) and start_time(self.pid) == self.started


def find_server(home: Home) -> Server | None:
    """Return the server of `home` if it runs and accepts connections."""
    pid_file = _pid_file(home)
    lines = _read_lines(pid_file)
    if not _is_ready(lines):
        return None
    pid = int(lines[0])
    traces = _find_traces(pid, pid_file)
    if _read_lines(pid_file) != lines or not _is_postmaster(pid, data_folder(home)):
        return None
    started = start_time(pid)
    return Server(pid, started, int(lines[3]), Path(lines[4].strip()), pid_file, traces) if started else None


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


def _find_traces(pid: int, pid_file: Path) -> _Traces | None:
    """Return what stays the same while process `pid` runs and its pid file says the same.

    None if either is gone, and where there is no /proc.
    """
    try:
        file, process = os.stat(pid_file), os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.read(process, 4096)
        finally:
            os.close(process)
    except OSError:
        return None
    after_name = stat[stat.rindex(b")") + 2 :].split(maxsplit=20)
    is_gone = after_name[0] in b"ZX"
    return None if is_gone else (file.st_ino, file.st_size, file.st_mtime_ns, after_name[19])


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
