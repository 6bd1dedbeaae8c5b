"""What an asset asks of the run it is in: id, ref, window."""

from __future__ import annotations

from dataclasses import dataclass

from dagster import AssetExecutionContext

from millpond.naming import ref_name
from millpond.partitions import Window, checked_day
from millpond.settings import settings

REF_TAG = "millpond/ref"
"""Run tag that names the ref a run reads and writes, where it is not the one of the settings."""


@dataclass(frozen=True)
class RunInfo:
    """A run as one of its assets sees it; `window` is None for an asset without partitions."""

    run_id: str
    ref: str
    window: Window | None

    @classmethod
    def of(cls, context: AssetExecutionContext) -> RunInfo:
        """Return what `context` says; raises PartitionKeyError if a key is no day that can exist now."""
        configured = settings()
        ref = context.run.tags.get(REF_TAG) or configured.ref
        window = None
        if context.assets_def.partitions_def is not None:
            keys = context.partition_keys
            first, last = (
                checked_day(key, configured.start_date, configured.zone) for key in (keys[0], keys[-1])
            )
            window = Window.of_days(first, last)
        return cls(context.run.run_id, ref_name(ref), window)
