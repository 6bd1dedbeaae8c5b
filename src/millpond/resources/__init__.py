"""What Dagster runs stand on here: its storage, its instance, what a run knows of itself."""

import warnings

# Dagster calls these beta at each use, the second in its own code; the pinned release is tested.
warnings.filterwarnings("ignore", message="Parameter .(backfill_policy|include_sources). of function")
