"""Superset as a part of a home: turned on by `millpond bi up`, in an environment of its own."""

from __future__ import annotations

import http.client
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from millpond.errors import EmbeddedPartError
from millpond.runtime.environments import Environment
from millpond.runtime.home import Home, layout, locate
from millpond.runtime.part import UNHEALTHY, UP, Health, Part
from millpond.runtime.processes import Process, ensure_process, find_process
from millpond.settings import Settings, variable

PROCESS: Final = "superset"
ENVIRONMENT: Final = Environment(PROCESS, pythons=("3.12", "3.11"))
"""Superset needs NumPy and pandas in releases that no later Python runs."""
_MODULE = "millpond.bi.server"
"""Not imported, as dashboards depend on the runtime, not the other way round."""
_MARK = "enabled"
_START_SECONDS = 600.0
"""The first start migrates Superset's database and imports the bundle, a new release installs packages."""


def state_folder(home: Home) -> Path:
    """Return the folder of Superset's state in the home; it is private."""
    return home.root / PROCESS


def is_enabled(settings: Settings) -> bool:
    """Return whether Superset is a part of this home."""
    return (state_folder(locate(settings)) / _MARK).exists()


def enable(settings: Settings, on: bool) -> None:
    """Make Superset a part of this home, or no longer; starts and stops nothing."""
    folder = state_folder(layout(settings))
    folder.mkdir(mode=0o700, exist_ok=True)
    if on:
        (folder / _MARK).touch(mode=0o600)
    else:
        (folder / _MARK).unlink(missing_ok=True)


def ensure_superset(settings: Settings) -> Process:
    """Return Superset's process; prepares and starts it in the background if it does not run.

    It listens on MILLPOND_SUPERSET_PORT or, if that is taken, on another port. Raises EmbeddedPartError.
    """
    return ensure_process(
        settings, PROCESS, _MODULE, ready=answers, timeout=_START_SECONDS, port=settings.superset_port
    )


def answers(port: int) -> bool:
    """Return whether Superset answers on `port`; may raise OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def build_superset_parts(settings: Settings, home: Home) -> list[Part]:
    """Return Superset as a part, if it is one of this home."""
    if not is_enabled(settings):
        return []

    def start() -> None:
        with suppress(EmbeddedPartError):  # it ends no other part; its log has the cause
            ensure_superset(settings)

    def examine(process: Process) -> Health:
        return Health(UP) if answers(process.port) else Health(UNHEALTHY, "gives an unexpected answer")

    return [
        Part(
            PROCESS,
            partial(find_process, home, PROCESS),
            start,
            examine,
            "http://127.0.0.1:{port}",
            port=settings.superset_port,
            setting=variable("superset_port"),
            start_seconds=_START_SECONDS,
            wanted=partial(is_enabled, settings),
            optional=True,
        )
    ]
