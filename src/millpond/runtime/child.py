"""Entry point of a supervised process: it ends with its supervisor, and imports while others still start.

`python -m millpond.runtime.child PARENT SOCKET PRELOAD MODULE ARGUMENTS…`
"""

from __future__ import annotations

import ctypes
import importlib
import os
import runpy
import signal
import socket
import sys
import time

from millpond.runtime.garbage import pause_collection, resume_collection

_PR_SET_PDEATHSIG = 1
_WAIT_SECONDS = 150.0
_POLL_SECONDS = 0.05


def main() -> None:
    """Run MODULE as `python -m` would, once SOCKET (`-` for none) accepts connections.

    PRELOAD is imported meanwhile, which takes most of the start-up time of Dagster's programs.
    """
    parent, awaited, preload, module, *arguments = sys.argv[1:]
    _end_with(int(parent))
    # A shell's background job ignores Ctrl-C, and Dagster's programs take their SIGTERM handling from it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pause_collection()
    importlib.import_module(preload)
    resume_collection()
    if awaited != "-":
        _await(awaited)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, however that dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def draw_own_numbers() -> None:
    """Have NumPy draw other random numbers in this fork than in its siblings, unless code gave it a seed.

    Python's own generator does so after each fork.
    """
    random = sys.modules.get("numpy.random")
    if random and random.get_bit_generator().seed_seq is not None:  # it has none once it was given a seed
        random.seed()


def _end_with(parent: int) -> None:
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def _await(path: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
