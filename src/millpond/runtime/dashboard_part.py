"""The dashboard as a process: its environment, command, port and health, and as a part of `millpond up`."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from millpond.runtime.environments import Environment
from millpond.runtime.home import locate
from millpond.runtime.part import NO_ANSWER, UNHEALTHY, UP, Health
from millpond.runtime.ports import choose_port
from millpond.runtime.processes import find_process
from millpond.settings import Settings, variable

DASHBOARD: Final = "dashboard"
ENVIRONMENT: Final = Environment(DASHBOARD, overlay=True)
_MODULE: Final = "millpond.dashboard"
"""Not imported: its packages are in an environment of their own."""
_PORT_FILE: Final = "dashboard.port"
_ANSWER_SECONDS: Final = 5.0
_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.2


def dashboard_url(settings: Settings) -> str:
    """Return the address of the dashboard, now or once `millpond up` runs it."""
    home = locate(settings)
    if process := find_process(home, DASHBOARD):
        return f"http://127.0.0.1:{process.port}"
    return f"http://127.0.0.1:{settings.dashboard_port or choose_dashboard_port(settings)}"


def build_command(port: int) -> list[str]:
    """Return what follows `python -m` to serve the dashboard."""
    return [_MODULE, "--port", str(port)]


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


def await_dashboard(port: int, alive: Callable[[], bool]) -> bool:
    """Return whether the dashboard answers; waits for as long as its process is alive."""
    deadline = time.monotonic() + _START_SECONDS
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
