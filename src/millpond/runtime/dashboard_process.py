"""The process of the dashboard in `millpond up`: waits, installs what is missing, and becomes the dashboard.

`python -m millpond.runtime.dashboard_process PORT [ADDRESS]`; in a container it listens on every address.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Final

from millpond.errors import MillpondError
from millpond.runtime.dashboard_part import DASHBOARD, ENVIRONMENT, build_command, note_file
from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import Home, layout
from millpond.runtime.part import UP, read_last_statuses
from millpond.runtime.processes import find_process
from millpond.settings import settings

_log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.5
_WAIT_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 600.0


def main() -> None:
    """Once the other parts are up, replace this process by the dashboard, run in its own environment."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    home = layout(settings())
    await_other_parts(home)
    python = install(home)
    os.execv(python, [str(python), "-m", *build_command(int(sys.argv[1]), *sys.argv[2:])])  # noqa: S606 - our own


def await_other_parts(home: Home, seconds: float = _WAIT_SECONDS) -> None:
    """Return once every other part is up, so that none of them starts later for the dashboard."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        supervisor = find_process(home, SUPERVISOR)
        now = read_last_statuses(home, supervisor.pid) if supervisor else {}
        if all(status.state == UP for name, status in now.items() if name != DASHBOARD):
            return
        time.sleep(_POLL_SECONDS)


def install(home: Home, retry_seconds: float = _RETRY_SECONDS) -> Path:
    """Return the Python of the environment; while it cannot be installed, say so and try again later."""
    while True:
        try:
            python = ENVIRONMENT.ensure(_log.info)
        except MillpondError as error:
            _log.error("%s", error)
            _write_note(home, " ".join(error.what.split())[:300])
            time.sleep(retry_seconds)
        else:
            note_file(home).unlink(missing_ok=True)
            return python


def _write_note(home: Home, words: str) -> None:
    unfinished = note_file(home).with_suffix(".new")
    unfinished.write_text(words)
    unfinished.replace(note_file(home))


if __name__ == "__main__":
    main()
