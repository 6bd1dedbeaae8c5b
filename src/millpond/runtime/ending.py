"""How a process ends: as Python ends it, but objects are not freed first, which takes tenths of a second."""

from __future__ import annotations

import atexit
import sys
import threading
from contextlib import suppress

_UNWRITTEN = 120


def finish(code: int) -> int:
    """Wait for threads, run exit handlers and write the output; returns the code for `os._exit`.

    It is `code`, or Python's own for output that cannot be written.
    """
    with suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return (code & 0xFF) if flush() else _UNWRITTEN


def flush() -> bool:
    """Write what the standard streams hold; returns whether that succeeded."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream and not stream.closed:
                stream.flush()
    except (OSError, ValueError):
        return False
    return True


def free_locks() -> None:
    """Give back the locks of `multiprocessing`, of which it would warn in the terminal."""
    util, synchronize = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "synchronize"))
    if util and synchronize:
        with suppress(Exception):
            for end in list(util._finalizer_registry.values()):
                if end._callback is synchronize.SemLock._cleanup:
                    end()
