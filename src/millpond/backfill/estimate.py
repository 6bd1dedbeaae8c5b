"""How long a plan will take, judged by what runs of this installation took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from millpond.backfill.history import PastRun
from millpond.backfill.plan import Chunk, Estimate

_RUNS_AN_ASSET = 5
"""Runs of each asset that are looked at, the latest; and of each other number of days the latest."""


@dataclass(frozen=True)
class Pace:
    """What an asset takes: seconds once a run, and seconds for each day."""

    a_run: float
    a_day: float


def estimate(chunks: Iterable[Chunk], past: Sequence[PastRun]) -> Estimate | None:
    """Return the expected seconds of `chunks`, one after another; None if none of their assets ever ran.

    Each asset's pace comes from its latest runs; a run takes in addition what those runs took beyond the
    seconds of their assets. `past` comes newest first.
    """
    asked = list(chunks)
    wanted = {asset for chunk in asked for asset in chunk.assets + chunk.whole}
    points: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    around: list[float] = []
    for run in past:
        new = [s for s in run.shares if s.asset in wanted and _tells_more(points[s.asset], s.days)]
        for share in new:
            points[share.asset].append((share.days, share.seconds))
        if new:
            around.append(max(0.0, run.seconds - sum(share.seconds for share in run.shares)))
    if not around:
        return None
    paces = {asset: pace(points[asset]) for asset in wanted if points[asset]}
    rest = sum(around) / len(around)
    days = sum(len(chunk.window) for chunk in asked if chunk.window)
    of_days = sum(
        paces[asset].a_day * (len(chunk.window) if chunk.window and asset not in chunk.whole else 1)
        for chunk in asked
        for asset in chunk.assets + chunk.whole
        if asset in paces
    )
    of_runs = sum(
        rest + sum(paces[asset].a_run for asset in chunk.assets + chunk.whole if asset in paces)
        for chunk in asked
    )
    runs = f"{len(around)} runs" if len(around) > 1 else "run"
    basis = f"the last {runs} of these assets"
    basis += f": {of_days / days:.2g} s a day + " if days else ": "
    basis += f"{(of_runs if days else of_runs + of_days) / len(asked):.2g} s a run"
    if unknown := len(wanted) - len(paces):
        basis += f"; {unknown} of {len(wanted)} assets never ran and count as nothing"
    return Estimate(round(of_days + of_runs, 1), basis)


def _tells_more(points: Sequence[tuple[int, float]], days: int) -> bool:
    """Return whether a run of so many days adds to what is known: runs of one size tell little of others."""
    return len(points) < _RUNS_AN_ASSET or days not in {known for known, _ in points}


def pace(points: Sequence[tuple[int, float]]) -> Pace:
    """Return the line through runs of (days, seconds) by least squares, neither part of it below nothing.

    Where all runs had the same number of days, all of their seconds count for the days.
    """
    days = sum(day for day, _ in points) / len(points)
    seconds = sum(second for _, second in points) / len(points)
    spread = sum((day - days) ** 2 for day, _ in points)
    if not spread:
        return Pace(0.0, seconds / days)
    slope = sum((day - days) * (second - seconds) for day, second in points) / spread
    slope = min(max(slope, 0.0), seconds / days)
    return Pace(seconds - slope * days, slope)
