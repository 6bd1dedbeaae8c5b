"""Background processes of a home, started on demand and shared by all processes of the home."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home, exclusive, layout
from millpond.runtime.service_user import ServiceUser
from millpond.settings import Settings, process_environment, variable

_POLL_SECONDS = 0.02
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class Process:
    """A background process; `started` distinguishes it from a later process with the same pid."""

    name: str
    pid: int
    started: float
    port: int
    ready: bool = False

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> float | None:
    """Return when process `pid` started (seconds since 1970); None if it does not run."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    user: ServiceUser | None = None,
    environment: Mapping[str, str],
    inherit: Sequence[int] = (),
) -> int:
    """Start `command` in its own session, writing to `log`; return its pid.

    It is not a child of this process: it outlives it and needs no wait.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        started = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" </dev/null >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=handle,
            env=dict(environment),
            cwd="/",
            pass_fds=tuple(inherit),
            start_new_session=True,
            check=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    finally:
        os.close(handle)
    return int(started.stdout)


def ensure_process(
    settings: Settings,
    name: str,
    module: str,
    *arguments: str,
    ready: Callable[[int], bool],
    timeout: float = 30.0,
    port: int = 0,
) -> Process:
    """Return the background process `name`; starts `python -m module --fd N arguments…` if it does not run.

    N is a socket that already listens on loopback `port`, by default the last one, or a free one if that is
    in use. `ready(port)` returns whether it answers (OSError: not yet). Raises EmbeddedPartError with the end
    of its log if it does not within `timeout` seconds.
    """
    home = layout(settings)
    if (found := find_process(home, name)) and found.ready:
        return found
    with exclusive(_lock_file(home, name), doing=f"starting {name}"):
        log = home.logs / f"{name}.log"
        begin = log.stat().st_size if log.exists() else 0
        if not (process := find_process(home, name)):
            process = _start(settings, home, name, module, arguments, port or _find_last_port(home, name))
        if not process.ready:
            _await_ready(process, ready, timeout, log, begin)
            process = replace(process, ready=True)
            register(home, process)
        return process


def register(home: Home, process: Process) -> None:
    """Record `process` in the home, in place of an earlier one with its name."""
    record(home.run, process)


def record(folder: Path, process: Process) -> None:
    """Record `process` in a home's folder for that, in place of an earlier one with its name."""
    file = _record_file(folder, process.name)
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(process)))
    unfinished.replace(file)


def forget(folder: Path, name: str, pid: int) -> None:
    """Remove the record of a process that ended because it was no longer needed; another's stays."""
    file = _record_file(folder, name)
    if (process := _read(file)) and process.pid == pid:
        file.unlink(missing_ok=True)


def is_recorded(folder: Path, name: str) -> bool:
    """Return whether a process `name` is recorded, also one that has ended in any other way."""
    return _record_file(folder, name).exists()


def find_process(home: Home, name: str) -> Process | None:
    """Return the background process `name` if it runs."""
    return find_recorded(home.run, name)


def find_recorded(folder: Path, name: str) -> Process | None:
    """Return the process that is recorded as `name` in a home's folder for that, if it runs."""
    process = _read(_record_file(folder, name))
    return process if process and process.alive else None


def list_processes(home: Home) -> list[Process]:
    """Return all running background processes of the home, sorted by name."""
    found = (_read(file) for file in sorted(home.run.glob("*.process.json")))
    return [process for process in found if process and process.alive]


def stop_all(home: Home, timeout: float = 10.0) -> list[Process]:
    """End all background processes of the home, by force after `timeout` seconds; return them.

    Raises EmbeddedPartError if one does not end.
    """
    stopped = []
    for process in list_processes(home):
        stop(home, process, timeout)
        stopped.append(process)
    return stopped


def stop(home: Home, process: Process, timeout: float = 10.0) -> None:
    """End a background process of the home, by force after `timeout` seconds.

    Raises EmbeddedPartError if it does not end.
    """
    with exclusive(_lock_file(home, process.name), doing=f"stopping {process.name}"):
        _stop(process, timeout)


def end_process(pid: int, started: float, signals: Sequence[signal.Signals], timeout: float) -> bool:
    """Send each signal in turn until the process has ended, waiting `timeout` seconds after each."""
    for number in signals:
        deadline = time.monotonic() + timeout
        if start_time(pid) == started:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return start_time(pid) != started


def tail(log: Path, begin: int = 0, lines: int = 20) -> str:
    """Return the last lines of `log` after position `begin`, without colours."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 20_000))
        text = _STYLES.sub("", file.read().decode(errors="replace"))
        return "\n".join(text.strip().splitlines()[-lines:])


def _stop(process: Process, timeout: float) -> None:
    if not end_process(process.pid, process.started, (signal.SIGTERM, signal.SIGKILL), timeout):
        raise EmbeddedPartError(
            f"{process.name} (process {process.pid}) does not end", next_step=f"kill -9 {process.pid}"
        )


def _start(
    settings: Settings, home: Home, name: str, module: str, arguments: Sequence[str], port: int
) -> Process:
    here = {variable("project"): str(settings.project), variable("home"): str(home.root)}
    with _open_listener(port) as listener:
        pid = spawn(
            [sys.executable, "-m", module, "--fd", str(listener.fileno()), *arguments],
            home.logs / f"{name}.log",
            environment=process_environment(**here),
            inherit=[listener.fileno()],
        )
        process = Process(name, pid, start_time(pid) or 0.0, listener.getsockname()[1])
    register(home, process)
    return process


def _await_ready(
    process: Process, ready: Callable[[int], bool], timeout: float, log: Path, begin: int
) -> None:
    deadline = time.monotonic() + timeout
    while process.alive:
        with suppress(OSError):
            if ready(process.port):
                return
        if time.monotonic() > deadline:
            _stop(process, 5.0)
            break
        time.sleep(_POLL_SECONDS)
    raise EmbeddedPartError(
        f"{process.name} did not start; its log ends:\n{tail(log, begin)}",
        next_step=f"read {log}, fix the cause and try again",
    )


def _open_listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _record_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.process.json"


def _lock_file(home: Home, name: str) -> Path:
    return home.run / f"{name}.lock"


def _read(file: Path) -> Process | None:
    try:
        return Process(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _find_last_port(home: Home, name: str) -> int:
    last = _read(_record_file(home.run, name))
    return last.port if last else 0
