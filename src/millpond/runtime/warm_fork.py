"""A fork of `warm_pool` that takes the place of a new process: what it inherits, how it runs and ends."""

from __future__ import annotations

import ctypes
import importlib
import io
import locale
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from millpond.runtime import warm_client as client
from millpond.runtime.child import draw_own_numbers, end_with_parent
from millpond.runtime.children import MARK
from millpond.runtime.ending import finish, flush


def inherit(request: Mapping[str, Any], here: int) -> None:
    """Take on the environment, folder and processors of the process that asks."""
    environment = os.environ  # noqa: TID251 - that of the process which asks replaces it
    environment.clear()
    environment.update(request["environment"])
    time.tzset()
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    os.fchdir(here)
    os.close(here)
    os.umask(request["mask"])
    os.sched_setaffinity(0, request["processors"])
    if request["nice"] != os.nice(0):
        os.nice(request["nice"] - os.nice(0))


def become_process(request: Mapping[str, Any], given: list[int], parent: int) -> NoReturn:
    """Run the module of the request as the main program, and exit as Python would."""
    try:
        end_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setpgid(0, 0)
        for number in request["files"]:
            with suppress(OSError):
                os.close(number)
        for wanted, number in zip(request["files"], given, strict=True):
            os.dup2(number, wanted)
            os.close(number)
        for number, limit in request["limits"].items():  # which files that are open may exceed
            if resource.getrlimit(number) != limit:
                resource.setrlimit(number, limit)
        _open_streams(request["streams"])
        _set_signals(request["ignored"])
        _name_process(request["argv"])
        _set_python(request)
        run = importlib.import_module(request["module"]).main
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        os._exit(1)
    os._exit(_finish(run, request["blocked"]))


def _finish(run: Callable[[], Any], blocked: list[int]) -> int:
    """Run the main function, and what Python does when a process ends; returns the exit code."""
    if signal.SIGINT in signal.sigpending() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C before anything began
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        run()
        code = 0
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            code = exit_.code or 0
        else:
            sys.stderr.write(f"{exit_.code}\n")
            code = 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.excepthook(*sys.exc_info())
        flush()
        os.kill(os.getpid(), signal.SIGINT)
        code = 130
    except BaseException as error:  # noqa: BLE001
        kind, value, trace = type(error), error, error.__traceback__
        sys.excepthook(kind, value, trace and trace.tb_next)
        code = 1
    return finish(code)


def _open_streams(wanted: list[Any]) -> None:
    """Make the standard streams new, in place: modules may hold them."""
    streams: list[Any] = [sys.stdin, sys.stdout, sys.stderr]
    for number, (stream, options) in enumerate(zip(streams, wanted, strict=True)):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        name = ("<stdin>", "<stdout>", "<stderr>")[number]
        raw.name = name
        encoding, errors, line_buffering, write_through = options or ("utf-8", None, False, False)
        buffered: Any = raw
        if number == 0 or not write_through:
            buffered = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
        stream.__init__(buffered, encoding, errors, "\n" if number else None, line_buffering, write_through)


def _set_signals(ignored: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    python = {signal.SIGPIPE, signal.SIGXFSZ}
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - python:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_python(request: Mapping[str, Any]) -> None:
    sys.argv, sys.path[:] = list(request["argv"]), request["path"] or [os.getcwd(), *sys.path[1:]]
    sys.executable = request["executable"]
    main = types.ModuleType("__main__")
    main.__file__, main.__package__ = request["main"]
    sys.modules["__main__"] = main
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    draw_own_numbers()


def report_end(connection: socket.socket, child: int) -> None:
    """Forward signals from the connection to the fork, and report how it ended; without the one, end it."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError):  # it does so itself; a signal for its group may come before
        os.setpgid(child, child)
    connection.settimeout(None)
    connection.sendall(child.to_bytes(client.NUMBER_BYTES, "big"))
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while all(number != ended for number, _ in poll.poll()):
        signals = b""
        with suppress(ConnectionError):
            signals = connection.recv(64)
        if not signals:
            os.kill(child, signal.SIGKILL)
            poll.unregister(connection)
            continue
        for number in signals:
            _forward(number, child)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(status.to_bytes(client.NUMBER_BYTES, "big"))


def _forward(number: int, child: int) -> None:
    """Signals of a terminal are for the whole group of processes."""
    terminal = {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP}
    number = signal.SIGSTOP if number == signal.SIGTSTP else number
    with suppress(ProcessLookupError):
        (os.killpg if number in terminal or number == signal.SIGSTOP else os.kill)(child, number)


def hide_mark() -> None:
    """Change the name of the mark of `millpond up`'s processes: `millpond down` does not end commands."""
    start, end = (int(each) for each in Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[47:49])
    at = ctypes.string_at(start, end - start).find(f"\0{MARK}=".encode())
    if at >= 0:
        ctypes.memset(start + at + 1, ord("-"), len(MARK))


def _name_process(argv: list[str]) -> None:
    """Have `ps` show the command."""
    start, end = (int(each) for each in Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[45:47])
    text = b"\0".join(os.fsencode(word) for word in argv)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))
