"""What a check found: its verdict with the numbers and thresholds behind it, and rows as examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SAMPLES = 20
"""Rows that a verdict shows at most."""

Number = int | float | str | None
Sample = Mapping[str, object]


@dataclass(frozen=True)
class Verdict:
    """The result of one check on one table; `numbers` hold counts and thresholds."""

    passed: bool
    summary: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    samples: Sequence[Sample] = ()


def shortened(samples: Sequence[Sample]) -> list[Sample]:
    """Return as many of `samples` as a verdict shows."""
    return list(samples[:SAMPLES])
