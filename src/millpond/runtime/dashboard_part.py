"""The dashboard as a part of `millpond up` and by itself: environment, command, port and health."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from millpond.runtime.children import start_child
from millpond.runtime.environments import Environment
from millpond.runtime.home import Home, locate
from millpond.runtime.part import DOWN, NO_ANSWER, STARTING, UNHEALTHY, UP, Health, Part
from millpond.runtime.ports import choose_port
from millpond.runtime.processes import Process, find_process, register, start_time
from millpond.settings import Settings, process_environment, variable

DASHBOARD: Final = "dashboard"
ENVIRONMENT: Final = Environment(DASHBOARD, overlay=True)
_MODULE: Final = "millpond.dashboard"
"""Not imported: its packages are in an environment of their own."""
_PROCESS: Final = "millpond.runtime.dashboard_process"
_PORT_FILE: Final = "dashboard.port"
_ANSWER_SECONDS: Final = 5.0
_START_SECONDS: Final = 120.0
_INSTALL_SECONDS: Final = 1800.0
_POLL_SECONDS: Final = 0.2


def dashboard_url(settings: Settings) -> str:
    """Return the address of the dashboard, now or once `millpond up` runs it."""
    home = locate(settings)
    if process := find_process(home, DASHBOARD):
        return f"http://127.0.0.1:{process.port}"
    return f"http://127.0.0.1:{settings.dashboard_port or choose_dashboard_port(settings)}"


def build_command(port: int, address: str = "127.0.0.1") -> list[str]:
    """Return what follows `python -m` to serve the dashboard."""
    return [_MODULE, "--port", str(port), "--address", address]


def choose_dashboard_port(settings: Settings, wanted: int | None = None) -> int:
    """Return the port to listen on: `wanted`, else the setting; 0 keeps a free one. Raises PortTaken."""
    home = locate(settings)
    return choose_port(
        home.run / _PORT_FILE,
        settings.dashboard_port if wanted is None else wanted,
        home.root,
        part=DASHBOARD,
        setting=variable("dashboard_port") if wanted is None else "--port",
    )


def await_dashboard(port: int, alive: Callable[[], bool], seconds: float = _START_SECONDS) -> bool:
    """Return whether the dashboard answers; waits for as long as its process is alive."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        with suppress(*NO_ANSWER):
            if check_dashboard(port).state == UP:
                return True
        time.sleep(_POLL_SECONDS)
    return False


def check_dashboard(port: int) -> Health:
    """Return the health of the dashboard at `port`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/_stcore/health")
        status = connection.getresponse().status
    finally:
        connection.close()
    return Health(UP) if status == 200 else Health(UNHEALTHY, f"answers {status}")


def note_file(home: Home) -> Path:
    """Return the file that says why the dashboard could not be installed, if so."""
    return home.run / "dashboard.note"


def build_dashboard_part(settings: Settings, home: Home) -> Part:
    """Return the dashboard; it is optional, as its packages may be out of reach."""

    def start() -> subprocess.Popen[bytes]:
        note_file(home).unlink(missing_ok=True)
        port = choose_dashboard_port(settings)
        (home.run / _PORT_FILE).write_text(f"{port}\n")
        here = {variable("project"): str(settings.project), variable("home"): str(settings.home)}
        child = start_child(
            [_PROCESS, str(port)],
            preload="millpond.runtime.environments",
            home=home,
            log=home.logs / f"{DASHBOARD}.log",
            folder=settings.project,
            environment=process_environment(**here, PYTHONUNBUFFERED="1"),
        )
        register(home, Process(DASHBOARD, child.pid, start_time(child.pid) or 0.0, port))
        return child

    return Part(
        DASHBOARD,
        partial(find_process, home, DASHBOARD),
        start,
        partial(_examine, home),
        "http://127.0.0.1:{port}",
        port=settings.dashboard_port,
        setting=variable("dashboard_port"),
        start_seconds=_INSTALL_SECONDS,
        optional=True,
    )


def _examine(home: Home, process: Process) -> Health:
    with suppress(FileNotFoundError):
        return Health(DOWN, note_file(home).read_text(), restartable=False)
    try:
        return check_dashboard(process.port)
    except ConnectionRefusedError:
        return Health(STARTING, "waits for the other parts, or is being installed")
