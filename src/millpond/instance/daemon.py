"""Dagster's daemon, which first closes dead runs: `python -m millpond.instance.daemon run`."""

from __future__ import annotations

from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance
from millpond.internals.dagster_on_demand import daemon_cli


def main() -> None:
    """Close dead runs, then run Dagster's daemon with the arguments of this process."""
    with open_instance() as recorded:
        fail_dead_runs(recorded)
    daemon_cli()


if __name__ == "__main__":
    main()
