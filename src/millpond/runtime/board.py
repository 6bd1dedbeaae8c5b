"""What a supervisor knows of each part: in memory for itself, in a file for others, in words in its log."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from millpond.runtime.home import Home
from millpond.runtime.part import DOWN, UP, State

Tell = Callable[[Sequence["Status"], str], None]
"""Is told every change: the status of all parts now, and what happened in words."""


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


class Board:
    """The status of every part; safe to use from many threads."""

    def __init__(self, home: Home, statuses: Sequence[Status], tell: Tell) -> None:
        self._file, self._log, self._tell = _file(home), home.logs / "up.log", tell
        self._lock = threading.RLock()
        self._statuses = {status.name: status for status in statuses}
        self._began: float | None = time.monotonic()
        self._write()

    def report(self, name: str, words: str, **changes: Any) -> None:
        """Change fields of one status; tell it in `words` where its state or its reason is new."""
        with self._lock:
            before = self._statuses[name]
            after = self._statuses[name] = replace(before, **changes)
            self._write()
            if (before.state, before.note) != (after.state, after.note):
                self.say(f"{name} {words}")
            if self._began is not None and all(s.state == UP for s in self._statuses.values()):
                self.say(f"all parts are up after {time.monotonic() - self._began:.1f} s")
                self._began = None

    def say(self, line: str) -> None:
        """Tell `line`, and write it to the log."""
        with self._lock:
            with self._log.open("a") as log:
                log.write(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} {line}\n")
            self._tell(list(self._statuses.values()), line)

    def clear(self) -> None:
        """Note that no part runs any more."""
        with self._lock:
            for name, status in self._statuses.items():
                self._statuses[name] = replace(status, state=DOWN, pid=None, since=None, note="")
            self._write()

    def _write(self) -> None:
        content = {"supervisor": os.getpid(), "parts": [asdict(s) for s in self._statuses.values()]}
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(self._file)


def last_statuses(home: Home, supervisor: int) -> dict[str, Status]:
    """Return what the supervisor of that pid wrote last, by name; empty if it wrote nothing yet."""
    try:
        content = json.loads(_file(home).read_text())
    except FileNotFoundError:
        return {}
    ours = content["supervisor"] == supervisor
    return {entry["name"]: Status(**entry) for entry in content["parts"]} if ours else {}


def _file(home: Home) -> Path:
    return home.run / "up.json"
