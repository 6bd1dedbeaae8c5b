"""The entry point of the `millpond` script: Ctrl-C while Python loads ends it without a traceback.

Commands that load much run in a fork of the process that `millpond up` holds loaded, where there is one.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1_000_000
_MAIN = "millpond.cli.main"
_WARM = frozenset(
    {"backfill", "branch", "history", "materialize", "quarantine", "reconcile", "report", "retire", "sources"}
    | {"sql", "status", "tables", "undo", "wipe"}
)
"""Commands that may run in a fork; the others are about `millpond up` itself, or load little."""


def main() -> NoReturn:
    """Run the command line, then end the process."""
    try:
        load_and_run()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        from millpond.runtime.ending import finish

        os._exit(finish(end.code))


def load_and_run() -> NoReturn:
    """Load the command line and run it; see `main.main`."""
    _return_memory()
    _stand_somewhere()
    if (usual := signal.getsignal(signal.SIGINT)) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if len(sys.argv) > 1 and sys.argv[1] in _WARM and not {"-h", "--help"} & {*sys.argv}:
        from millpond.runtime.warm_client import run_command

        run_command(_MAIN)
    from millpond.cli.main import main as run

    signal.signal(signal.SIGINT, usual)
    run()


def _stand_somewhere() -> None:
    """Open standard streams that are closed, with their own numbers; ends where the folder was removed.

    A connection that took the number of standard output would get what is printed.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            from millpond.runtime.ending import discard

            discard(number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    try:
        os.getcwd()
    except FileNotFoundError:
        from millpond.cli.interrupts import REFUSED

        print("the current folder was removed\n  Next: change to a folder that exists: `cd`", file=sys.stderr)
        os._exit(REFUSED)


def _return_memory() -> None:
    """Return large blocks to the system as soon as they are free, in this process and those it starts.

    PyArrow's own allocator and glibc's, which keeps larger and larger blocks, would together use twice as
    much memory in a long backfill.
    """
    environment = os.environ  # noqa: TID251 - read by PyArrow and by glibc, not by us
    environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if "MALLOC_MMAP_THRESHOLD_" in environment:
        return  # glibc has read it
    environment["MALLOC_MMAP_THRESHOLD_"] = str(_LARGE_BYTES)
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


if __name__ == "__main__":
    main()
