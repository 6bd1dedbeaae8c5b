"""Dagster's web pages in their own container, after closing the runs that died in it."""

from __future__ import annotations

from millpond.cli import pages
from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance


def main() -> None:
    """Close the runs of this host whose process is gone, then run Dagster's web server with its arguments.

    They may have been started here with `docker exec`; the code server does not see their processes.
    """
    with open_instance() as recorded:
        fail_dead_runs(recorded)
    pages.main()


if __name__ == "__main__":
    main()
