"""What Dagster runs stand on here: its storage, its instance, what a run knows of itself."""

import warnings

# Dagster calls these beta at each use, some in its own code; the pinned release is tested.
warnings.filterwarnings(
    "ignore",
    message=r"(Parameter|Class) .(backfill_policy|include_sources|allow_nonexistent_upstream_partitions"
    "|CodeReferencesMetadataValue|LocalFileCodeReference).",
)
