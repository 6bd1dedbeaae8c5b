"""Named places in a write where a test may kill the process, to prove what survives."""

from __future__ import annotations

import os
import signal

_armed: set[str] = set()


def arm(name: str) -> None:
    """Make the next `reached(name)` kill this process with SIGKILL. For tests only."""
    _armed.add(name)


def reached(name: str) -> None:
    """Mark a place in the write; does nothing unless a test armed it."""
    if name in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
