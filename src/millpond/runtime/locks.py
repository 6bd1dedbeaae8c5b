"""One process at a time: a lock on a file, released by the kernel when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millpond.errors import EmbeddedPartError

_POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, *, doing: str, timeout: float = 120.0) -> Iterator[int]:
    """Hold the lock of `path` within the block; threads of one process exclude each other too.

    Yields the descriptor of the lock: a child that inherits it keeps the lock until it ends as well.
    Raises EmbeddedPartError, naming the holder, if it is not free within `timeout` seconds.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(handle, path, doing, time.monotonic() + timeout)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {doing}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, doing: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
                raise EmbeddedPartError(
                    f"{doing} waits for process {holder or 'unknown'}, which holds {path}",
                    next_step="wait until that process is done; if it hangs, end it and try again",
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
