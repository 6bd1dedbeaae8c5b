"""Exit codes, how an interrupted command ends, and errors as JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from millpond.runtime.ending import flush, free_locks

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of commands."""
NOTHING_BEGUN = "everything; nothing was started"
STANDS = "what was done before; each commit is complete or does not exist"
_SHOWN = f"interrupted\n  Unharmed: {STANDS}\n  Next: the same command again"


def wants_json() -> bool:
    """Return whether the command has the option --json."""
    return "--json" in sys.argv[1:]


def format_error(kind: str, what: str, unharmed: str, next_step: str, code: int) -> str:
    """Return an error as a line of JSON."""
    error = {"type": kind, "what": what, "unharmed": unharmed, "next": next_step, "exit_code": code}
    return json.dumps({"error": error}, ensure_ascii=False)


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is how DuckDB reports Ctrl-C during a query."""
    return type(error) is RuntimeError and str(error) == "Query interrupted"


def print_interrupted() -> None:
    """Print on standard error that the command was interrupted."""
    print(_format_interrupt("the same command again") if wants_json() else _SHOWN, file=sys.stderr)


def _format_interrupt(next_step: str) -> str:
    return format_error("Interrupted", "interrupted", STANDS, next_step, INTERRUPTED)


def exit_interrupted() -> NoReturn:
    """End at once: the cleanup of libraries can take seconds, and nothing else depends on it."""
    free_locks()
    flush()
    os._exit(INTERRUPTED)


@contextmanager
def exit_on_interrupt(hint: str) -> Iterator[None]:
    """Let Ctrl-C end the process at once within the block, in which nothing needs to be completed.

    A thread receives the signal, so that it also ends code that waits or works outside of Python. `hint`
    says how to continue.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        while received := receiver.recv(64):
            if signal.SIGINT in received:
                text = _format_interrupt(hint) if wants_json() else f"\ninterrupted; {hint}"
                os.write(2, f"{text}\n".encode())
                free_locks()
                os._exit(INTERRUPTED)

    listener = threading.Thread(target=listen, name="interrupts", daemon=True)
    listener.start()
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)
        sender.close()
        listener.join()
        receiver.close()
