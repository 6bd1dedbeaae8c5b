"""The same assets under Dagster's usual policy for backfills, a run for each partition, for its daemon."""

import dagster as dg

dg.BackfillPolicy.single_run = staticmethod(  # type: ignore[method-assign]
    lambda: dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
)

from millpond.definitions import defs  # noqa: E402

__all__ = ["defs"]
