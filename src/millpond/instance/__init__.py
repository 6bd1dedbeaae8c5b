"""Dagster's instance: its storage, launcher and processes, and what it has on record of assets and runs."""

import millpond.resources  # noqa: F401 - for its filter of warnings
