"""What the `millpond` script calls: Ctrl-C in the first half second, while Python loads, just ends it."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it; see `main.main`."""
    # Read by PyArrow when it loads: its own allocator keeps a third more memory in a long backfill.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from millpond.cli.main import main as run

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
