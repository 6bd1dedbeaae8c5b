"""Processes of one supervisor, started with a mark in their environment that all descendants inherit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from millpond.runtime.home import Home, layout
from millpond.runtime.warm_client import WarmProcess
from millpond.runtime.warm_client import start as start_warm
from millpond.settings import process_environment, settings

MARK = "SUPERVISED_BY_MILLPOND"
"""Environment variable of supervised processes and their descendants (runs, code servers): the home."""

_POLL_SECONDS = 0.05


def start_child(
    command: Sequence[str],
    *,
    preload: str,
    home: Home,
    log: Path,
    folder: Path,
    environment: Mapping[str, str],
    after: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m <command>` in its own session, writing to `log`; it ends with this process.

    `after` is a Unix socket that must accept connections before the command's own code begins.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    entry = [sys.executable, "-m", "millpond.runtime.child", str(os.getpid()), str(after or "-"), preload]
    try:
        return subprocess.Popen(
            [*entry, *command],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: str(home.root)},
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(handle)


Piped = subprocess.Popen[bytes] | WarmProcess


def start_piped(
    module: str, arguments: Sequence[str], *, preload: str, log: Path
) -> tuple[Piped, Connection]:
    """Start `python -m MODULE PIPE ARGUMENTS` in its own session, writing to `log`; it ends with ours.

    PIPE is the descriptor of the other end of the returned connection, which is bidirectional. While
    `millpond up` runs, it is a fork of what that holds loaded.
    """
    ours, theirs = Pipe()
    words = [module, str(theirs.fileno()), *arguments]
    environment = process_environment()
    with theirs, log.open("ab") as out, Path(os.devnull).open("rb") as nothing:
        files = {0: nothing.fileno(), 1: out.fileno(), 2: out.fileno(), theirs.fileno(): theirs.fileno()}
        folder = layout(settings()).run
        if settings().warm_runs and (fork := start_warm(str(folder), module, words, files, environment)):
            return fork, ours
        entry = [sys.executable, "-m", "millpond.runtime.child", str(os.getpid()), "-", preload]
        process = subprocess.Popen(
            [*entry, *words],
            stdin=nothing,
            stdout=out,
            stderr=out,
            env=environment,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    return process, ours


def find_supervised(home: Home) -> list[psutil.Process]:
    """Return every process with the mark of `home`."""
    ourselves = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in ourselves and _read_mark(process) == str(home.root)
    ]


def is_supervised(home: Home, pid: int) -> bool:
    """Return whether process `pid` has the mark of `home`."""
    with suppress(psutil.NoSuchProcess):
        return _read_mark(psutil.Process(pid)) == str(home.root)
    return False


def end_supervised(home: Home, grace: float = 15.0) -> list[int]:
    """End all processes with the mark of `home`: SIGTERM first, SIGKILL after `grace` seconds.

    Runs among them are recorded as canceled. Returns the pids.
    """
    ended: set[int] = set()
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        signalled: set[int] = set()
        deadline = time.monotonic() + seconds
        while (left := find_supervised(home)) and time.monotonic() < deadline:
            fresh = [process for process in left if process.pid not in signalled]
            _signal(fresh, number)
            signalled.update(process.pid for process in fresh)
            time.sleep(_POLL_SECONDS)
        ended |= signalled
    return sorted(ended)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def _read_mark(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return None
    return mark
