"""How a command that was interrupted ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
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

    `hint` tells where to look for what there is to go on with.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        os.write(2, f"\ninterrupted; {hint}\n".encode())
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
