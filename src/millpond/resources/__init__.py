"""What assets use: their run, resources for Trino and Iceberg, retry policies.

Imports `lake` and what is below it. Start reading in `run`; resources for users are in `engines`.
"""

import warnings

# Dagster calls these beta at each use, some in its own code; the pinned release is tested.
warnings.filterwarnings(
    "ignore",
    message=r"(Parameter|Class) .(backfill_policy|include_sources|allow_nonexistent_upstream_partitions"
    "|CodeReferencesMetadataValue|LocalFileCodeReference).",
)
