"""Dagster's daemon, which first closes the runs that died with an earlier one: `python -m …daemon run`."""

from __future__ import annotations

from millpond.internals.dagster_on_demand import daemon_cli
from millpond.resources.instance import instance
from millpond.resources.zombies import close_zombies


def begin() -> None:
    """Close the runs whose process is gone, then be Dagster's daemon; the arguments are its own."""
    with instance() as recorded:
        close_zombies(recorded)
    daemon_cli()


if __name__ == "__main__":
    begin()
