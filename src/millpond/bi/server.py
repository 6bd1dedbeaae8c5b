"""The process `superset` of a home: prepares Superset, then becomes its server.

python -m millpond.bi.server --fd N serves on a socket that already listens.
"""

from __future__ import annotations

import argparse
import os
import sys

from millpond.bi.installation import prepare
from millpond.errors import MillpondError
from millpond.runtime.home import layout
from millpond.runtime.superset import state_folder
from millpond.settings import settings

_THREADS = 8
_GRACEFUL_SECONDS = 2


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve Superset, with dashboards on the marts.")
    parser.add_argument("--fd", type=int, required=True, help="number of a listening socket")
    descriptor = parser.parse_args().fd
    try:
        python, variables = prepare(settings(), lambda line: print(line, flush=True))  # noqa: T201 - its log
    except MillpondError as error:
        sys.exit(str(error))
    os.set_inheritable(descriptor, True)
    os.chdir(state_folder(layout(settings())))
    command = [str(python), "-m", "gunicorn", "--bind", f"fd://{descriptor}"]
    command += ["--workers", "1", "--worker-class", "gthread", "--threads", str(_THREADS)]
    command += ["--timeout", "120", "--graceful-timeout", str(_GRACEFUL_SECONDS)]
    command += ["--no-control-socket"]
    os.execve(command[0], [*command, "superset.app:create_app()"], variables)  # noqa: S606


if __name__ == "__main__":
    main()
