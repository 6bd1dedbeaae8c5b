"""A part of the platform: how it is found, started and checked, and its status."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from millpond.runtime.home import Home
from millpond.runtime.processes import Process

State = Literal["up", "starting", "unhealthy", "down"]
UP: Final = "up"
STARTING: Final = "starting"
UNHEALTHY: Final = "unhealthy"
DOWN: Final = "down"

NO_ANSWER: Final = (OSError, http.client.HTTPException, ValueError, LookupError)
"""Errors of a part that does not answer, or not as expected."""


class Health(NamedTuple):
    """Health of a running part; `restartable` if a restart may help."""

    state: State
    note: str = ""
    restartable: bool = True


@dataclass(frozen=True)
class Part:
    """One process of the platform; `name` is also that of its log and record."""

    name: str
    find: Callable[[], Process | None]
    """Returns the process if it runs."""
    start: Callable[[], subprocess.Popen[bytes] | None]
    """Starts it; returns it if it is a child process. May raise a MillpondError."""
    examine: Callable[[Process], Health]
    """Checks its health; raises one of NO_ANSWER if it does not answer. Starts nothing."""
    address: str = ""
    """Its address, with `{port}` for the port; empty if it does not listen."""
    port: int = 0
    """Configured port; 0 leaves it to the part."""
    setting: str | None = None
    """Setting that names this port."""
    start_seconds: float = 60.0
    """How long it may take to answer for the first time before it is restarted."""
    silence_seconds: float = 60.0
    """How long it may be unhealthy later before it is restarted."""
    optional: bool = False
    """Whether `millpond up` counts as up without it."""
    wanted: Callable[[], bool] = lambda: True
    """Whether it shall run; if not, it is not started again."""
    started_by: str = ""
    """The part that starts it, also again; this one is then only watched."""
    explain: Callable[[], str] = lambda: ""
    """Says why it does not run, of a part that another one starts."""

    def log_in(self, folder: Path) -> Path:
        """Return its log below the folder of logs: its own, or that of the part that starts it."""
        return folder / f"{self.started_by or self.name}.log"

    def address_of(self, process: Process | None) -> str | None:
        """Return the address of `process`, or for None the configured one; None if unknown."""
        port = process.port if process else self.port
        if not self.address or (not port and "{port}" in self.address):
            return None
        return self.address.format(port=port)


def check_health(part: Part, process: Process) -> Health:
    """Return the health of a running part."""
    try:
        return part.examine(process)
    except NO_ANSWER as error:
        return Health(UNHEALTHY, f"does not answer: {error}")


Tell = Callable[[Sequence["Status"], str], None]
"""Called on every change, with the status of all parts and a line about what happened."""


@dataclass(frozen=True)
class Status:
    """One part at one moment; `since` is when its process began, in seconds since the epoch."""

    name: str
    state: State = DOWN
    address: str | None = None
    pid: int | None = None
    since: float | None = None
    restarts: int = 0
    log: str = ""
    note: str = ""
    optional: bool = False

    @property
    def serves(self) -> bool:
        """Whether it is up, or need not be."""
        return self.state == UP or self.optional


class Board:
    """The status of every part; safe to use from many threads."""

    def __init__(self, home: Home, statuses: Sequence[Status], tell: Tell) -> None:
        self._status_file, self._log, self._tell = _status_file(home), home.logs / "up.log", tell
        self._lock = threading.RLock()
        self._statuses = {status.name: status for status in statuses}
        self._began: float | None = time.monotonic()
        self._optional_missing = False
        self._write()

    def report(self, name: str, words: str, **changes: Any) -> None:
        """Change fields of one status; report `words` if its state or note is new."""
        with self._lock:
            before = self._statuses[name]
            after = self._statuses[name] = replace(before, **changes)
            self._write()
            if (before.state, before.note) != (after.state, after.note):
                self.say(f"{name} {words}")
            self._say_once_up()

    def _say_once_up(self) -> None:
        """Say that all parts are up, the first time; before that that all are which must be."""
        if self._began is None or not all(status.serves for status in self._statuses.values()):
            return
        seconds = time.monotonic() - self._began
        if left := [f"{s.name} ({s.state})" for s in self._statuses.values() if s.state != UP]:
            if not self._optional_missing:
                self._optional_missing = True
                self.say(f"all parts but {', '.join(left)} are up after {seconds:.1f} s")
            return
        self._began = None
        self.say(f"all parts are up after {seconds:.1f} s")

    def say(self, line: str) -> None:
        """Report `line`, and write it to the log."""
        with self._lock:
            with self._log.open("a") as log:
                log.write(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} {line}\n")
            self._tell(list(self._statuses.values()), line)

    def clear(self) -> None:
        """Mark all parts as down."""
        with self._lock:
            for name, status in self._statuses.items():
                self._statuses[name] = replace(status, state=DOWN, pid=None, since=None, note="")
            self._write()

    def _write(self) -> None:
        content = {"supervisor": os.getpid(), "parts": [asdict(s) for s in self._statuses.values()]}
        unfinished = self._status_file.with_suffix(".new")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(self._status_file)


def read_last_statuses(home: Home, supervisor: int) -> dict[str, Status]:
    """Return the last statuses of the supervisor with that pid, by name; empty if there are none."""
    try:
        content = json.loads(_status_file(home).read_text())
    except FileNotFoundError:
        return {}
    ours = content["supervisor"] == supervisor
    return {entry["name"]: Status(**entry) for entry in content["parts"]} if ours else {}


def _status_file(home: Home) -> Path:
    return home.run / "up.json"
