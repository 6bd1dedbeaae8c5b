"""The process that commands and workers are forked from: it has the code loaded, but no settings and no data.

It listens on a Unix socket in the home. Each request is answered by a fork, which makes itself what a new
process would be, forks the one that runs the module, forwards signals to it and reports how it ended. See
`warm_client`.
"""

from __future__ import annotations

import logging
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from millpond.errors import MillpondError
from millpond.runtime import warm_client as client
from millpond.runtime.processes import Process, record, start_time
from millpond.runtime.warm_fork import become_process, hide_mark, inherit, report_end
from millpond.settings import settings

_LOOK_SECONDS = 5.0
_READ_SECONDS = 5.0
_FIRST_FREE = 512
_UNREAD = frozenset({"COLUMNS", "LINES", "LANG", "LANGUAGE", "PATH", "NO_COLOR", "FORCE_COLOR"})
"""Read while modules load, for texts that are shown elsewhere and programs that are looked for again; `LC_`
likewise. They differ between terminals, whose commands are to be forked all the same.
"""
_DIFFERENCES = {
    "version": "another version of Python",
    "prefix": "another environment of Python",
    "flags": "other options of Python",
    "warnings": "other warnings of Python",
    "encoding": "another encoding of file names",
    "user": "another user or other groups",
    "spaces": "another container",
}
"""What may differ of what `warm_client.describe_python` returns."""
NOTE = "command-server.note"
"""File that says why there is no such process, where that is not a failure."""
Stamp = Mapping[str, tuple[int, ...] | None]


@contextmanager
def watch_environment() -> Iterator[dict[str, str | None]]:
    """Record each variable that is read within the block, with its value."""
    kind: Any = type(os.environ)  # noqa: TID251 - watches who reads it
    read, each = kind.__getitem__, kind.__iter__
    found: dict[str, str | None] = {}
    copied: deque[str] = deque()

    def get(self: Any, name: str) -> Any:
        try:
            value = read(self, name)
        except KeyError:
            found.setdefault(name, None)
            raise
        if copied and copied[0] == name:  # all of it is copied, for a process
            copied.popleft()
        else:
            found.setdefault(name, value)
        return value

    def iterate(self: Any) -> Iterator[str]:
        copied.clear()
        for name in each(self):
            copied.append(name)
            yield name

    kind.__getitem__, kind.__iter__ = get, iterate
    try:
        yield found
    finally:
        kind.__getitem__, kind.__iter__ = read, each
        for name in [name for name in found if name in _UNREAD or name.startswith("LC_")]:
            del found[name]


def stamp_code() -> Stamp:
    """Return the state of the file of each imported module."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return stamp_files(file for file in files if file)


def stamp_files(files: Iterable[str]) -> Stamp:
    """Return the state of each file or folder."""
    return {file: _stamp(file) for file in files}


def _stamp(file: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Pool:
    """What forks are made from: code that was loaded since `began` with the variables in `read`.

    `loaded` is the state in which files were loaded that may have changed since.
    """

    def __init__(
        self, root: Path, read: Mapping[str, str | None], began: float, loaded: Stamp = MappingProxyType({})
    ) -> None:
        self.root, self._read, self._path = root, read, root / "run" / client.SOCKET
        self._note = self._path.with_name(NOTE)
        self._stamp = {**stamp_code(), **loaded}
        self._began_ns = int(began * 1e9)
        self._identity: tuple[int, ...] | None = None

    def serve(self) -> NoReturn:
        """Answer requests, until the code has changed or another process listens in place of this one."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that answered leave no zombies
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            self._identity = self._listen(listener)
            while self._identify() == self._identity:
                if not select.select([listener], [], [], _LOOK_SECONDS)[0]:
                    continue
                connection, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _run_and_exit(partial(self._answer, connection))
                connection.close()
        os._exit(0)

    def _listen(self, listener: socket.socket) -> tuple[int, ...] | None:
        unfinished = self._path.with_suffix(f".{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        before, mask = os.getcwd(), os.umask(0o177)
        os.chdir(self._path.parent)  # a socket's path is limited to 107 bytes
        listener.bind(unfinished.name)
        os.chdir(before)
        os.umask(mask)
        listener.listen(64)
        self._note.unlink(missing_ok=True)
        unfinished.replace(self._path)
        process = Process(client.COMMAND_SERVER, os.getpid(), start_time(os.getpid()) or 0.0, 0, True)
        record(self._path.parent, process)
        return self._identify()

    def _identify(self) -> tuple[int, ...] | None:
        found = _stamp(str(self._path))
        return found[:1] if found else None

    def find_difference(self, request: Mapping[str, Any]) -> str:
        """Return why a fork would not be the same as a new process; empty if it would."""
        asked, here = request["python"], client.describe_python(sys.path[1:])
        for name in here:
            if name == "path":
                if more := {*asked[name]} - {*here[name]}:
                    return f"Python looks for modules in {', '.join(sorted(more))} as well"
            elif asked[name] != here[name]:
                return _DIFFERENCES[name]
        environment = request["environment"]
        for name, value in self._read.items():
            if environment.get(name) != value:
                return f"other {name}"
        for number, (_, hard) in request["limits"].items():
            ours = resource.getrlimit(number)[1]
            if ours != resource.RLIM_INFINITY and not 0 <= hard <= ours:
                return "other limits"
        if file := self._find_changed_file():
            if self._identify() == self._identity:
                self._note.write_text(
                    f"{file} has changed; until `millpond reload` commands load the code themselves"
                )
                self._path.unlink(missing_ok=True)  # the process ends, and nobody asks it again
            return f"{file} has changed"
        return ""

    def _find_changed_file(self) -> str | None:
        for file, state in self._stamp.items():
            if _stamp(file) != state or (state and state[-1] > self._began_ns):
                return file
        return None

    def _answer(self, connection: socket.socket) -> int:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.settimeout(_READ_SECONDS)
        if _read_user(connection) != os.geteuid():
            return 1
        request, files = _read_request(connection)
        here, *given = files
        if difference := self.find_difference(request):
            return _refuse(connection, difference)
        hide_mark()
        inherit(request, here)
        if difference := self._check_settings():
            return _refuse(connection, difference)
        connection.sendall(client.READY)
        if connection.recv(1) != client.GO:  # it has gone on without us
            return 1
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # until the fork can receive them
        if (child := os.fork()) == 0:
            connection.close()
            become_process(request, given, parent)
        for number in given:
            os.close(number)
        report_end(connection, child)
        return 0

    def _check_settings(self) -> str:
        """Return why the command is none for this process by its settings; empty if it is one."""
        with _keep_warnings("millpond.settings.reading") as warnings:
            try:
                found = settings()
            except MillpondError:
                return "its settings are refused"
        if warnings:
            settings.cache_clear()  # the command gives them
        if not found.warm_runs:
            return "MILLPOND_WARM_RUNS is false"
        return "" if os.path.realpath(found.home) == str(self.root) else "another home"


@contextmanager
def _keep_warnings(logger: str) -> Iterator[list[logging.LogRecord]]:
    """Keep what is logged within the block, which is not shown."""
    kept: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        kept.append(record)
        return False

    logging.getLogger(logger).addFilter(keep)
    try:
        yield kept
    finally:
        logging.getLogger(logger).removeFilter(keep)


def _refuse(connection: socket.socket, difference: str) -> int:
    """Say why a command runs in a process of its own, to it and in the log; returns the exit code."""
    sys.stderr.write(f"a command runs in a process of its own: {difference}\n")
    sys.stderr.flush()
    connection.sendall(client.REFUSED + difference.encode(errors="replace")[: client.REASON_BYTES])
    return 1


def _run_and_exit(answer: Callable[[], int]) -> NoReturn:
    try:
        os._exit(answer())
    except BaseException:  # noqa: BLE001 - a command that gets no answer runs by itself
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _read_user(connection: socket.socket) -> int:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1])


def _read_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the request and the descriptors that came with it, above those that it will use."""
    head, received, _, _ = socket.recv_fds(connection, client.LENGTH_BYTES, client.MOST_FILES + 1)
    files = []
    for number in received:
        files.append(_move_up(number))
        os.close(number)
    size = int.from_bytes(head, "big")
    content = bytearray()
    while len(content) < size:
        if not (more := connection.recv(min(size - len(content), 1 << 20))):
            raise EOFError
        content += more
    return marshal.loads(bytes(content)), files  # noqa: S302 - from a process of the same user


def _move_up(number: int) -> int:
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
