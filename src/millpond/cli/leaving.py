"""How a command that was interrupted ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130


def leave() -> NoReturn:
    """End at once: what libraries would still tidy up can take seconds, and nothing depends on it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


@contextmanager
def interrupted_at_once(hint: str) -> Iterator[None]:
    """Let Ctrl-C end the process within the block, where nothing is under way that would have to end well.

    A thread hears of the signal, so that it ends what waits or works outside Python too. `hint` tells where
    to look for what there is to go on with.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        while heard := receiver.recv(64):
            if signal.SIGINT in heard:
                os.write(2, f"\ninterrupted; {hint}\n".encode())
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
