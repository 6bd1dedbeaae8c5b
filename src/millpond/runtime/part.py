"""A part of the platform as its supervisor and `millpond status` see it."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from millpond.runtime.processes import Process

State = Literal["up", "starting", "unhealthy", "down"]
UP: Final = "up"
STARTING: Final = "starting"
UNHEALTHY: Final = "unhealthy"
DOWN: Final = "down"

NO_ANSWER: Final = (OSError, http.client.HTTPException, ValueError, LookupError)
"""What asking a part may raise when it does not answer, or not sensibly."""


class Health(NamedTuple):
    """Whether a running part does its work; `mendable` says whether a new start may help."""

    state: State
    note: str = ""
    mendable: bool = True


@dataclass(frozen=True)
class Part:
    """One process of the platform, known by `name` in its log, its record and every message."""

    name: str
    find: Callable[[], Process | None]
    """Returns the process if it runs, whoever started it."""
    start: Callable[[], subprocess.Popen[bytes] | None]
    """Makes it run; returns it if it is a child of ours. May raise a MillpondError."""
    examine: Callable[[Process], Health]
    """Asks it whether it answers; raises one of NO_ANSWER if it does not. Starts nothing."""
    address: str = ""
    """Where it listens, with `{port}` in place of the port; empty if it does not listen."""
    port: int = 0
    """Port it is to listen on; 0 leaves it to the part."""
    setting: str | None = None
    """Setting that names this port."""
    start_seconds: float = 60.0
    """How long it may take until it answers for the first time, before it is started anew."""
    silence_seconds: float = 60.0
    """How long it may give no answer later, before it is started anew."""

    def address_of(self, process: Process | None) -> str | None:
        """Return where `process` listens, or for None where it would; None if that is not known."""
        port = process.port if process else self.port
        if not self.address or (not port and "{port}" in self.address):
            return None
        return self.address.format(port=port)


def examined(part: Part, process: Process) -> Health:
    """Return the health of a running part."""
    try:
        return part.examine(process)
    except NO_ANSWER as error:
        return Health(UNHEALTHY, f"does not answer: {error}")
