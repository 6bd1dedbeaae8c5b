"""Dagster's daemon, which closes dead runs first and looks at the queue of runs as soon as that changes.

`python -m millpond.instance.daemon run`
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final

from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance
from millpond.instance.log_colours import omit_colours
from millpond.instance.queue import Announcements
from millpond.internals.dagster_on_demand import QueuedRunCoordinatorDaemon, daemon_cli, daemon_controller

_SLICE_SECONDS: Final = 0.5
"""How long the queue is waited for at a time: in between the daemon writes its heartbeat, or ends."""


class AnnouncedQueueDaemon(QueuedRunCoordinatorDaemon):
    """Dagster's daemon of the queue, which looks at once when a change is announced."""

    def __init__(self, interval_seconds: float) -> None:
        super().__init__(0)
        self._longest_wait, self._announcements = interval_seconds, Announcements()

    def __exit__(self, *error: Any) -> None:
        self._announcements.close()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def run_iteration(self, *given: Any, **named: Any) -> Generator[Any]:
        """Wait for a change, at most for the interval, then launch the runs that may begin."""
        deadline = time.monotonic() + self._longest_wait
        while (left := deadline - time.monotonic()) > 0:
            if self._announcements.wait(min(left, _SLICE_SECONDS)):
                break
            yield None
        yield from super().run_iteration(*given, **named)


def main() -> None:
    """Close dead runs, then run Dagster's daemon with the arguments of this process."""
    omit_colours()
    with open_instance() as recorded:
        fail_dead_runs(recorded)
    daemon_controller.QueuedRunCoordinatorDaemon = AnnouncedQueueDaemon  # type: ignore[attr-defined, assignment]
    daemon_cli()


if __name__ == "__main__":
    main()
