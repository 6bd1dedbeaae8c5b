"""How an interrupted command ends, and what an error is for machines."""

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

INTERRUPTED = 130
NOTHING_BEGUN = "everything; nothing was started"
STANDS = "what was done before; each commit is whole or not there"


def as_json() -> bool:
    """Return whether the command was typed with --json."""
    return "--json" in sys.argv[1:]


def error_object(kind: str, what: str, unharmed: str, next_step: str, code: int) -> str:
    """Return an error as the line of JSON that machines read."""
    error = {"type": kind, "what": what, "unharmed": unharmed, "next": next_step, "exit_code": code}
    return json.dumps({"error": error}, ensure_ascii=False)


def print_interrupted() -> None:
    """Say on standard error that the command was interrupted."""
    print(_interrupt_object("the same command again") if as_json() else "interrupted", file=sys.stderr)


def _interrupt_object(next_step: str) -> str:
    return error_object("Interrupted", "interrupted", STANDS, next_step, INTERRUPTED)


def exit_interrupted() -> NoReturn:
    """End at once: what libraries would still tidy up can take seconds, and nothing depends on it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


@contextmanager
def exit_on_interrupt(hint: str) -> Iterator[None]:
    """Let Ctrl-C end the process within the block, where nothing is under way that would have to end well.

    A thread hears of the signal, so that it ends what waits or works outside Python too. `hint` tells where
    to look for what there is to go on with.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        while heard := receiver.recv(64):
            if signal.SIGINT in heard:
                said = _interrupt_object(hint) if as_json() else f"\ninterrupted; {hint}"
                os.write(2, f"{said}\n".encode())
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
