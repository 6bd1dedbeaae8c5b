"""Backfills of the ledger with their progress."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from millpond.backfill.ledger import list_backfills
from millpond.backfill.ledger_chunks import PartitionState


@dataclass(frozen=True)
class BackfillLine:
    """A backfill: how many of its partitions are done and failed; `left` estimates seconds while it runs.

    `state` is as `millpond backfill list` shows it, "dead" where its process is gone without an end.
    """

    id: str
    selection: str
    ref: str
    first: dt.date | None
    last: dt.date | None
    state: str
    started: dt.datetime
    seconds: float
    done: int
    failed: int
    total: int
    left: float | None

    @property
    def share(self) -> float:
        """The share of its partitions that is done, 0 to 1."""
        return self.done / self.total if self.total else 1.0


def list_backfill_lines(limit: int = 50) -> list[BackfillLine]:
    """Return the latest backfills, newest first."""
    found = []
    for each in sorted(list_backfills(), key=lambda each: each.started, reverse=True)[:limit]:
        total, done = sum(each.counts.values()), each.counts.get(PartitionState.DONE, 0)
        failed = each.counts.get(PartitionState.FAILED, 0) + each.counts.get(PartitionState.BLOCKED, 0)
        left = each.seconds / done * (total - done - failed) if each.alive and done else None
        found.append(
            BackfillLine(
                id=each.id,
                selection=each.selection,
                ref=each.ref,
                first=each.window.start if each.window else None,
                last=each.window.last if each.window else None,
                state="dead" if each.dead else str(each.state),
                started=each.started,
                seconds=each.seconds,
                done=done,
                failed=failed,
                total=total,
                left=left,
            )
        )
    return found
