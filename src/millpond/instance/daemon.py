"""Dagster's daemon, which first fails the runs that died with an earlier one: `python -m …daemon run`."""

from __future__ import annotations

from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance
from millpond.internals.dagster_on_demand import daemon_cli


def begin() -> None:
    """Close the runs whose process is gone, then be Dagster's daemon; the arguments are its own."""
    with open_instance() as recorded:
        fail_dead_runs(recorded)
    daemon_cli()


if __name__ == "__main__":
    begin()
