"""The same assets under Dagster's own policy for backfills: one run for each partition. For the daemon to load."""

import dagster as dg

dg.BackfillPolicy.single_run = staticmethod(  # type: ignore[method-assign]
    lambda: dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
)

from millpond.definitions import defs  # noqa: E402

__all__ = ["defs"]
