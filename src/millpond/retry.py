"""The wait before something is tried again: random up to a bound that doubles ("full jitter").

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random

_DOUBLINGS = 20


def full_jitter(attempt: int, first: float, longest: float) -> float:
    """Return the seconds to wait after attempt `attempt` (the first is 1): up to `first`, doubled each time.

    The bound is `longest`.
    """
    bound = min(longest, first * 2 ** min(max(attempt - 1, 0), _DOUBLINGS))
    return random.uniform(0, bound)  # noqa: S311 - no secret
