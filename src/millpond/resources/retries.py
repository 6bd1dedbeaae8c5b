"""How often a step is tried again: after waits that double, each cut at random (full jitter)."""

from __future__ import annotations

import dagster as dg

from millpond.errors import (
    EmbeddedPartError,
    LockTimeout,
    MartsHeld,
    MergeConflict,
    OutcomeUnknown,
    PartitionConflict,
    StorageFailed,
)

PASSING = (
    *(LockTimeout, PartitionConflict, MergeConflict, OutcomeUnknown, StorageFailed),
    *(EmbeddedPartError, MartsHeld),
)
"""What a second try may find mended: a lock, a conflict, a server that was being restarted."""


def retry_policy(times: int, seconds: float) -> dg.RetryPolicy:
    """Return the policy: up to `times` more tries, the first after up to `seconds`."""
    return dg.RetryPolicy(
        max_retries=times, delay=seconds, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL
    )


LAKE_STEP = retry_policy(2, 5)
"""For steps that only read and write what is ours; a source says its own in its file."""
