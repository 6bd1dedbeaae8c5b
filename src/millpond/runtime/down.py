"""Stops every part of a home that runs in the background."""

from __future__ import annotations

from millpond.runtime import postgres, processes
from millpond.runtime.home import layout, located
from millpond.runtime.locks import exclusive
from millpond.settings import Settings


def down(settings: Settings) -> list[str]:
    """Stop all background processes of the home, Postgres last; return a line for each that ran.

    Raises EmbeddedPartError if one does not end. A home without running parts is fine.
    """
    if not located(settings).root.exists():
        return []
    home = layout(settings)
    stopped = [f"{p.name} (process {p.pid}, port {p.port})" for p in processes.stop_all(home)]
    with exclusive(home.run / "postgres.lock", doing="stopping Postgres"):
        if server := postgres.stop(home):
            stopped.append(f"postgres (process {server.pid}, port {server.port})")
    return stopped
