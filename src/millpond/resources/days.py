"""The partitions of everything that is made by day."""

from __future__ import annotations

import dagster as dg

from millpond.settings import Settings, settings

OWN_PARTITIONS = "own_partitions"
"""Metadata of an asset that has partitions, but not these."""


def daily_partitions(configured: Settings | None = None) -> dg.DailyPartitionsDefinition:
    """Return the partitions of raw tables and daily models: days in the configured zone, today included.

    An asset of your own that is made by day takes these, so that Dagster maps its days to theirs.
    """
    configured = configured or settings()
    return dg.DailyPartitionsDefinition(
        start_date=str(configured.start_date), timezone=configured.timezone, end_offset=1
    )
