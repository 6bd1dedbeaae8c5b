"""A worker process of a backfill: `python -m millpond.backfill.worker PIPE BACKFILL NUMBER MAX-FAILURES`."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from millpond.backfill.engine import Engine
from millpond.backfill.session import INTERRUPTED, Stop, get_backfill
from millpond.instance.home import open_instance

_GRACE_SECONDS = 0.5


def main() -> None:
    """Claim and run pieces until none is left; send events over the pipe."""
    pipe, backfill, number, limit = sys.argv[1:]
    parent = Connection(int(pipe))
    with open_instance() as recording:
        engine = Engine(
            get_backfill(backfill),
            recording,
            parent.send,
            max_failures=int(limit) if limit else None,
            worker=int(number),
        )
        with Stop(engine.break_off, grace=_GRACE_SECONDS):
            try:
                engine.work()
            except KeyboardInterrupt:
                sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
