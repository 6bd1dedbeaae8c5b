"""What a task of maintenance is, and what it reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """What was done to one table, branch or run, or to what `name` says: how many of what, bytes freed."""

    name: str
    counts: Mapping[str, int]
    bytes: int = 0


@dataclass(frozen=True)
class Result:
    """What a task did, or would do in a dry run; `note` says why it did not do all.

    `problems` are what a task found wrong that only looks, for people to act on.
    """

    lines: tuple[Line, ...] = ()
    note: str = ""
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """The sums over all lines, by what was counted."""
        total: Counter[str] = Counter()
        for line in self.lines:
            total.update(line.counts)
        return dict(total)

    @property
    def bytes(self) -> int:
        """The bytes freed in all."""
        return sum(line.bytes for line in self.lines)

    def describe(self) -> dict[str, Any]:
        """Return it as a document."""
        lines = [{"name": x.name, "counts": dict(x.counts), "bytes": x.bytes} for x in self.lines]
        told = {"note": self.note, "problems": list(self.problems)}
        return {"counts": self.counts, "bytes": self.bytes, "lines": lines, **told}


@dataclass(frozen=True)
class Task:
    """A task: `run(dry_run)` does it, or only says what it would do; raises MillpondError.

    It opens what it needs itself, is safe beside writers and readers, and may be repeated at any time.
    """

    name: str
    description: str
    run: Callable[[bool], Result]
    check: str = ""
    """The asset check that fails if it finds problems; empty if it never looks for any."""
