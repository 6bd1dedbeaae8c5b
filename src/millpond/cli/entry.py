"""What the `millpond` script calls: Ctrl-C in the first half second, while Python loads, just ends it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import NoReturn

_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1_000_000


def main() -> NoReturn:
    """Load the command line and run it; see `main.main`."""
    _hand_memory_back()
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from millpond.cli.main import main as run

    signal.signal(signal.SIGINT, usual)
    run()


def _hand_memory_back() -> None:
    """Have large blocks go back to the system as soon as they are free, here and in what we start.

    PyArrow's own allocator and glibc's, which learns to keep ever larger blocks, would together hold twice
    as much in a long backfill.
    """
    environment = os.environ  # noqa: TID251 - read by PyArrow and by glibc, not by us
    environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if "MALLOC_MMAP_THRESHOLD_" in environment:
        return  # glibc has read it
    environment["MALLOC_MMAP_THRESHOLD_"] = str(_LARGE_BYTES)
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


if __name__ == "__main__":
    main()
