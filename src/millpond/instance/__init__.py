"""Dagster's instance: its storage, launcher and processes, and its record of assets and runs.

Imports `resources`, `lake` and what is below them. Start reading in `home`, then `record`.
"""

import millpond.resources  # noqa: F401 - for its filter of warnings
