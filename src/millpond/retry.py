"""Delays between retries: random up to a bound that doubles ("full jitter").

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random

_DOUBLINGS = 20


def full_jitter(attempt: int, first: float, longest: float) -> float:
    """Return a random delay in seconds after attempt `attempt` (the first is 1).

    It is at most `first` seconds, doubled for each further attempt, and at most `longest`.
    """
    bound = min(longest, first * 2 ** min(max(attempt - 1, 0), _DOUBLINGS))
    return random.uniform(0, bound)  # noqa: S311 - no secret
