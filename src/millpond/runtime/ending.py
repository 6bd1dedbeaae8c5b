"""How a process ends: as Python ends it, but objects are not freed first, which takes tenths of a second.

Where nobody reads its output any more it ends as other programs do, by SIGPIPE.
"""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

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


class OutputLost(OSError):
    """Standard output could not be written, as on a full disk."""


_lost: list[OutputLost] = []


class _Output(io.FileIO):
    """A standard stream: the process ends if it is a pipe whose reader is gone.

    What standard error does not take is lost, as there is nobody left to tell.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _end_by_closed_pipe()
        except OSError as error:
            if self.fileno() == 2:
                return len(data)
            _lost[:] = [OutputLost(error.errno, error.strerror)]
            raise _lost[0] from None


def discard(descriptor: int) -> None:
    """Have what is written to a descriptor go to no file, and nothing be read from it; it may be closed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing == descriptor:  # the lowest number that was free
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(nothing, descriptor)
        os.close(nothing)


def take_lost_output() -> OutputLost | None:
    """Return why standard output could not be written, if so; it goes to no file from now on."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(1)
    return _lost.pop() if _lost else None


def end_with_reader() -> None:
    """Have this process end, without a word, when what reads its output does, such as `head`.

    Python ignores SIGPIPE, and a connection that is lost must not end a process: so this is about the
    standard streams alone, which are made new in place, as modules may hold them.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        below = getattr(stream, "buffer", None)
        raw = getattr(below, "raw", below)
        if type(raw) is not io.FileIO or raw.fileno() != number or not isinstance(stream, io.TextIOWrapper):
            continue
        stream.flush()
        output: Any = _Output(number, "w", closefd=False)
        output.name = stream.name
        if below is not raw:
            output = io.BufferedWriter(output)
        options = (stream.encoding, stream.errors, "\n", stream.line_buffering, stream.write_through)
        stream.__init__(output, *options)  # type: ignore[misc]


def _end_by_closed_pipe() -> NoReturn:
    free_locks()
    with suppress(ValueError):  # only the main thread may; a shell shows the same code without it
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})
        os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)


def free_locks() -> None:
    """Give back the locks of `multiprocessing`, of which it would warn in the terminal."""
    util, synchronize = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "synchronize"))
    if util and synchronize:
        with suppress(Exception):
            for end in list(util._finalizer_registry.values()):
                if end._callback is synchronize.SemLock._cleanup:
                    end()
