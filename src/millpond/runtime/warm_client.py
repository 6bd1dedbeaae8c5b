"""Has a module run in a fork of the process that `millpond up` holds loaded; imports nothing that takes long.

See `warm_pool` for the other side. What is passed on is all that a new process would inherit: arguments,
environment, open files, current folder, limits, signals.
"""

from __future__ import annotations

import marshal
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

SOCKET = "warm.sock"
RUN_SERVER, COMMAND_SERVER = "run-server", "command-server"
"""The processes that runs and commands are forked from."""
READY, GO, REFUSED = b"R", b"G", b"N"
LENGTH_BYTES, NUMBER_BYTES, REASON_BYTES = 8, 4, 1000
MOST_FILES = 200
refusals: list[str] = []
"""Why no fork stands in for this process, though it asked for one."""
_ANSWER_SECONDS = 5.0
_SPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_FORWARDED = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT", "WINCH")
_OPTIONAL = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "TSTP", "TTIN", "TTOU", "CHLD")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0


class WarmProcess:
    """A fork that runs a module, used like a `subprocess.Popen`; it is killed when this process ends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(None)
        self.pid = _read_number(connection) or 0
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raises subprocess.TimeoutExpired if it runs for longer than `timeout`."""
        if self.returncode is None:
            self._connection.settimeout(max(timeout, 0.001) if timeout is not None else None)
            try:
                found = _read_number(self._connection)
            except TimeoutError:
                raise subprocess.TimeoutExpired([], timeout or 0.0) from None
            self.returncode = -signal.SIGKILL if found is None else os.waitstatus_to_exitcode(found)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            with suppress(OSError):
                self._connection.send(bytes([number]))

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    folder: str,
    module: str,
    argv: list[str],
    files: dict[int, int],
    environment: dict[str, str],
    path: list[str] | None = None,
    blocked: Iterable[int] | None = None,
) -> WarmProcess | None:
    """Have `main` of `module` run in a fork of the process that listens in `folder`; None if there is none.

    It is None also if that process may not stand in for a new one: see `warm_pool.find_difference`. `files`
    are the descriptors that it gets, by the number that each has there. `path` is its sys.path, by default
    that of `python -m`; `blocked` are its blocked signals, by default those of this thread.
    """
    connection = _connect(folder)
    if connection is None:
        return None
    try:
        if not _ask(
            connection, _describe(module, argv, list(files), environment, path, blocked), [*files.values()]
        ):
            connection.close()
            return None
    except (OSError, ValueError):
        connection.close()
        return None
    return WarmProcess(connection)


def run_command(module: str) -> None:
    """Run the command line of this process in a fork, and exit as it does; return if none can be had."""
    environment = os.environ  # noqa: TID251 - the fork gets all of it
    if (folder := _find_run_folder(environment)) is None:
        return
    try:
        numbers = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        files = {number: number for number in numbers if _is_open(number) and os.get_inheritable(number)}
    except OSError:
        return
    if not {0, 1, 2} <= set(files):
        return
    forwarded = {getattr(signal, f"SIG{name}") for name in (*_FORWARDED, "TSTP")}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)  # until there is a fork to forward them to
    process = start(folder, module, sys.argv, files, dict(environment), sys.path, mask)
    if process is not None:
        _stand_in_for(process, mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stand_in_for(process: WarmProcess, mask: Iterable[int]) -> None:
    """Forward signals to the fork, and end as it ends; `mask` are those that stay blocked."""

    def forward(number: int, _: Any) -> None:
        process.send_signal(number)

    def stop(number: int, _: Any) -> None:
        process.send_signal(number)
        os.kill(os.getpid(), signal.SIGSTOP)

    for name in _FORWARDED:
        number = getattr(signal, f"SIG{name}")
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, forward)
    if signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    code = process.wait()
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _connect(folder: str) -> socket.socket | None:
    if not _DIRECTORY or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        place = os.open(folder, _DIRECTORY)
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_SECONDS)
    try:
        if os.stat(SOCKET, dir_fd=place, follow_symlinks=False).st_uid != os.geteuid():
            raise OSError
        connection.connect(f"/proc/self/fd/{place}/{SOCKET}")  # a socket's path is limited to 107 bytes
    except OSError:
        connection.close()
        return None
    finally:
        os.close(place)
    return connection


def _ask(connection: socket.socket, request: bytes, files: list[int]) -> bool:
    """Send the request; returns whether the fork is ready, and then has it begin."""
    if len(files) > MOST_FILES:
        return False
    here = os.open(".", _DIRECTORY)
    try:
        socket.send_fds(connection, [len(request).to_bytes(LENGTH_BYTES, "big")], [here, *files])
        connection.sendall(request)
    finally:
        os.close(here)
    if (answer := connection.recv(1)) != READY:
        refusals[:] = [connection.recv(REASON_BYTES).decode(errors="replace")] if answer == REFUSED else []
        return False
    connection.sendall(GO)
    return True


def describe_python(path: list[str]) -> dict[str, Any]:
    """Return what a process must share with the one that it stands in for; `path` is where modules are."""
    return {
        "version": sys.version,
        "prefix": sys.prefix,
        "flags": tuple(sys.flags),
        "warnings": list(sys.warnoptions),
        "encoding": (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()),
        "path": [entry for entry in path if entry],
        "user": (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups())),
        "spaces": [_read_link(f"/proc/self/ns/{name}") for name in _SPACES],
    }


def _describe(
    module: str,
    argv: list[str],
    numbers: list[int],
    environment: dict[str, str],
    path: list[str] | None,
    blocked: Iterable[int] | None,
) -> bytes:
    """Return the request to run `module`, with all that a new process would inherit from this one."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if blocked is None else blocked
    limits = {n: resource.getrlimit(n) for name, n in vars(resource).items() if name.startswith("RLIMIT_")}
    os.umask(mask := os.umask(0o077))
    main, streams = sys.modules["__main__"], [sys.__stdin__, sys.__stdout__, sys.__stderr__]
    return marshal.dumps(
        {
            "module": module,
            "argv": argv,
            "environment": environment,
            "files": numbers,
            "python": describe_python(path[1:] if path else []),
            "path": path,
            "executable": sys.executable,
            "main": (getattr(main, "__file__", None), getattr(main, "__package__", None)),
            "streams": [
                (s.encoding, s.errors, s.line_buffering, getattr(s, "write_through", False)) if s else None
                for s in streams
            ],
            "mask": mask,
            "limits": limits,
            "nice": os.nice(0),
            "processors": sorted(os.sched_getaffinity(0)),
            "ignored": [
                int(number)
                for number in (getattr(signal, f"SIG{name}") for name in _OPTIONAL)
                if signal.getsignal(number) == signal.SIG_IGN
            ],
            "blocked": [int(number) for number in blocked],
        }
    )


def _find_run_folder(environment: Any) -> str | None:
    """Return where the process listens that has this command's home, as far as can be told without settings.

    That process reads the settings and refuses commands of another home.
    """
    project = environment.get("MILLPOND_PROJECT") or _find_project()
    home = environment.get("MILLPOND_HOME") or _read_home(project) or ".millpond"
    folder = os.path.join(project, os.path.expanduser(home), "run")
    return folder if os.path.exists(f"{folder}/{SOCKET}") else None


def _find_project() -> str:
    folder = here = os.getcwd()
    while True:
        with suppress(OSError), open(f"{folder}/pyproject.toml", "rb") as file:
            if b"tool.millpond" in file.read():
                return folder
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    checkout = os.path.realpath(f"{__file__}/../../../..")
    return checkout if os.path.exists(f"{checkout}/dbt/dbt_project.yml") else here


def _read_home(project: str) -> str | None:
    with suppress(OSError), open(f"{project}/.env", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, found, value = line.strip().removeprefix("export ").partition("=")
            if found and name.strip() == "MILLPOND_HOME":
                return value.split(" #")[0].strip().strip("'\"")
    return None


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:  # the listing's own descriptor
        return False
    return True


def _read_number(connection: socket.socket) -> int | None:
    """Return the next number from the connection; None if it was closed."""
    with suppress(ConnectionError):
        if len(data := connection.recv(NUMBER_BYTES, socket.MSG_WAITALL)) == NUMBER_BYTES:
            return int.from_bytes(data, "big")
    return None


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
