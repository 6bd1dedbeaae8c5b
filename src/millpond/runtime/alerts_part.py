"""The dispatcher of alerts, supervised; its heartbeat is a file that says what is wrong, if anything."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from pathlib import Path

from millpond.runtime.children import start_child
from millpond.runtime.home import Home
from millpond.runtime.part import STARTING, UNHEALTHY, UP, Health, Part
from millpond.runtime.processes import Process, register, registered, start_time
from millpond.settings import Settings, process_environment, variable

PROCESS = "alerts"
_MODULE = "millpond.alerts"
"""Named, not imported: alerts stand on the runtime, not the other way round."""
_SILENCE_SECONDS = 60.0


def beat_file(home: Home) -> Path:
    """Return the file that the dispatcher writes after each round that worked."""
    return home.run / "alerts.beat"


def alerts_part(settings: Settings, home: Home) -> Part:
    """Return the dispatcher."""

    def start() -> subprocess.Popen[bytes]:
        here = {variable("project"): str(settings.project), variable("home"): str(settings.home)}
        child = start_child(
            [_MODULE],
            preload=f"{_MODULE}.dispatcher",
            home=home,
            log=home.logs / f"{PROCESS}.log",
            folder=settings.project,
            environment=process_environment(**here, PYTHONUNBUFFERED="1"),
        )
        register(home, Process(PROCESS, child.pid, start_time(child.pid) or 0.0, 0))
        return child

    return Part(PROCESS, partial(registered, home, PROCESS), start, partial(_health, home))


def _health(home: Home, process: Process) -> Health:
    beat = beat_file(home)
    last = beat.stat().st_mtime if beat.exists() else 0.0
    if last < process.started:
        return Health(STARTING, "no heartbeat yet")
    if last < time.time() - _SILENCE_SECONDS:
        return Health(UNHEALTHY, f"last heartbeat {time.time() - last:.0f} s ago")
    wrong = beat.read_text()
    return Health(UNHEALTHY, wrong, mendable=False) if wrong else Health(UP)
