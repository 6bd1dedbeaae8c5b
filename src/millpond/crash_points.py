"""Named places in a write where a test may kill the process, to prove what survives."""

from __future__ import annotations

import os
import signal

_armed: dict[str, signal.Signals] = {}


def arm(name: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Make the next `reached(name)` send this process a signal, once. For tests only."""
    _armed[name] = number


def reached(name: str) -> None:
    """Mark a place in the write; does nothing unless a test armed it."""
    if name in _armed:
        os.kill(os.getpid(), _armed.pop(name))
