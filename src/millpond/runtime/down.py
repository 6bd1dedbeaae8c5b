"""Stops all background processes of a home."""

from __future__ import annotations

import signal

from millpond.errors import EmbeddedPartError
from millpond.runtime import postgres, processes
from millpond.runtime.children import end_supervised
from millpond.runtime.home import Home, exclusive, layout, locate
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import Process
from millpond.settings import Settings

SUPERVISOR = "up"
"""Name that `millpond up` is registered under."""
_SUPERVISOR_SECONDS = 90.0
"""It stops all other parts first, and waits for runs to end."""


def down(settings: Settings) -> list[str]:
    """Stop all background processes of the home, Postgres last; return a line for each that ran.

    Raises EmbeddedPartError if one does not end.
    """
    if not locate(settings).root.exists():
        return []
    home = layout(settings)
    supervisor = processes.find_process(home, SUPERVISOR)
    ran = _list_running(home)
    if supervisor:
        _end(supervisor)
    left = sorted(set(stop_parts(home)) - {process.pid for process in ran})
    stopped = [f"{p.name} (process {p.pid}{f', port {p.port}' if p.port else ''})" for p in ran]
    return [*stopped, *(f"left over from a killed `millpond up` (process {pid})" for pid in left)]


def stop_parts(home: Home) -> list[int]:
    """Stop every part of the home except its supervisor: supervised ones first, Postgres last.

    Returns the pids of supervised processes. Raises EmbeddedPartError if a part does not end.
    """
    supervised = end_supervised(home)
    for process in processes.list_processes(home):
        if process.name != SUPERVISOR:
            processes.stop(home, process)
    with exclusive(home.run / "postgres.lock", doing="stopping Postgres"):
        postgres.stop(home)
    return supervised


def _list_running(home: Home) -> list[Process]:
    server = find_server(home)
    last = [Process("postgres", server.pid, server.started, server.port)] if server else []
    first = sorted(processes.list_processes(home), key=lambda process: process.name != SUPERVISOR)
    return [*first, *last]


def _end(supervisor: Process) -> None:
    signals = (signal.SIGTERM, signal.SIGKILL)
    if not processes.end_process(supervisor.pid, supervisor.started, signals, _SUPERVISOR_SECONDS):
        raise EmbeddedPartError(
            f"`millpond up` (process {supervisor.pid}) does not end", next_step=f"kill -9 {supervisor.pid}"
        )
