"""Stops every part of a home that runs in the background."""

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
"""Name under which `millpond up` is registered."""
_SUPERVISOR_SECONDS = 90.0
"""It stops every other part first, and lets runs end."""


def down(settings: Settings) -> list[str]:
    """Stop all background processes of the home, Postgres last; return a line for each that ran.

    Raises EmbeddedPartError if one does not end. A home without running parts is fine.
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
    return [*stopped, *(f"what a killed `millpond up` had left (process {pid})" for pid in left)]


def stop_parts(home: Home) -> list[int]:
    """Stop every part of the home but its supervisor: what belongs to one first, Postgres last.

    Returns the pids of what belonged to a supervisor. Raises EmbeddedPartError if a part does not end.
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
