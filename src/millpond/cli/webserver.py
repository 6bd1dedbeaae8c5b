"""Dagster's web pages in their own container, first closing the runs that died in it."""

from __future__ import annotations

from millpond.cli import pages
from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance


def begin() -> None:
    """Close the runs of this host whose process is gone, then be Dagster's web pages; arguments are theirs.

    Somebody may have started them here with `docker exec`; the code server does not see their processes.
    """
    with open_instance() as recorded:
        fail_dead_runs(recorded)
    pages.begin()


if __name__ == "__main__":
    begin()
