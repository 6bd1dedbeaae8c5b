"""A running backfill in the terminal: a line for each finished day, the workers, the time left."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from millpond.backfill.engine import WorkerEvent
from millpond.backfill.ledger_chunks import Outcome, PartitionState
from millpond.backfill.pieces import COUNT_METADATA, Key, format_counts

_WORST_FIRST = (
    PartitionState.FAILED,
    PartitionState.BLOCKED,
    PartitionState.UNREACHABLE,
    PartitionState.DONE,
)
Unit = dt.date | str
"""A day with all its assets, or a whole asset."""


@dataclass(frozen=True)
class FinishedUnit:
    """A unit whose assets are all finished; `rows` are those loaded, else those of the largest asset.

    `counts` are sums over its assets.
    """

    number: int
    unit: Unit
    state: PartitionState
    rows: int | None
    seconds: float | None
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Tally:
    """Counts the partitions of one session of a backfill."""

    keys: Iterable[Key]
    finished: list[FinishedUnit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open: dict[Unit, set[Key]] = {}
        for key in self.keys:
            self._open.setdefault(_get_unit(key), set()).add(key)
        self._settled: dict[Unit, dict[Key, Outcome]] = {unit: {} for unit in self._open}
        self.total = len(self._open)

    def settle(self, settled: Mapping[Key, Outcome]) -> Iterator[FinishedUnit]:
        """Record results of partitions; yields the units that they finish."""
        for key, outcome in settled.items():
            unit = _get_unit(key)
            if key not in self._open.get(unit, ()):
                continue
            self._open[unit].discard(key)
            self._settled[unit][key] = outcome
            if not self._open[unit]:
                self.finished.append(self._finish_unit(unit))
                yield self.finished[-1]

    def _finish_unit(self, unit: Unit) -> FinishedUnit:
        outcomes = list(self._settled[unit].values())
        worst = next(state for state in _WORST_FIRST if any(o.state == state for o in outcomes))
        loaded = [o.rows for o in outcomes if o.quarantined is not None and o.rows is not None]
        made = [o.rows for o in outcomes if o.rows is not None]
        seconds = [o.seconds for o in outcomes if o.seconds is not None]
        return FinishedUnit(
            number=len(self.finished) + 1,
            unit=unit,
            state=worst,
            rows=sum(loaded) if loaded else max(made, default=None),
            seconds=sum(seconds) if seconds else None,
            counts={name: sum(getattr(o, name) or 0 for o in outcomes) for name in COUNT_METADATA},
            reason=next((o.reason for o in outcomes if o.state == worst and o.reason), ""),
        )


def _get_unit(key: Key) -> Unit:
    return key[1] or key[0]


_STYLES = {
    PartitionState.DONE: ("✓", "OK", "green"),
    PartitionState.FAILED: ("✗", "FAILED", "bold red"),
    PartitionState.BLOCKED: ("✗", "BLOCKED", "red"),
    PartitionState.UNREACHABLE: ("–", "unreachable", "yellow"),
    PartitionState.OPEN: ("…", "open", "dim"),
}


_PLACE = re.compile(r"^[\w/]+, [\d.-]+: ")
"""The asset and days that a reason begins with."""
_LONG = 120
"""Longer reasons are shortened to this many characters."""


class Display:
    """Prints the progress of workers: live in a terminal, else plain lines, nothing with `quiet`.

    `expected` are the seconds that it is expected to take, None if unknown.
    """

    def __init__(self, tally: Tally, expected: float | None, *, quiet: bool = False) -> None:
        self.tally, self._expected, self._quiet = tally, expected, quiet
        self._console = Console(highlight=False, quiet=quiet)
        self._began = time.monotonic()
        self._settled_after = 0.0
        self._at: dict[int, Text] = {}
        self._counts: dict[int, tuple[str, int, int]] = {}
        self._reasons: dict[str, Unit] = {}
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = Live(get_renderable=self._status, console=self._console, transient=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def take(self, event: WorkerEvent) -> None:
        """Show an event of a worker."""
        if event.kind == "settled":
            for finished in self.tally.settle(dict(event.settled)):
                self._console.print(self._line(finished), soft_wrap=True)
            self._settled_after = time.monotonic() - self._began
            self._at.pop(event.worker, None)
        elif event.kind == "working":
            self._counts.pop(event.worker, None)
            self._at[event.worker] = _describe_step(event)
        else:
            asset, partitions, rows = self._counts.get(event.worker, (event.assets[0], 0, 0))
            if asset != event.assets[0]:
                asset, partitions, rows = event.assets[0], 0, 0
            self._counts[event.worker] = (asset, partitions + 1, rows + (event.rows or 0))

    def _line(self, finished: FinishedUnit) -> Text:
        mark, word, colour = _STYLES[finished.state]
        width = len(str(self.tally.total))
        line = Text.assemble(
            (f"  {mark} ", colour),
            (f"[{finished.number:>{width}}/{self.tally.total}] ", "dim"),
            f"{finished.unit} ",
            (word, colour),
        )
        if finished.rows is not None and finished.state == PartitionState.DONE:
            line.append(f" {finished.rows:,} rows")
        if counted := format_counts(finished.counts):
            line.append(f", {counted}", "yellow")
        if finished.seconds is not None and finished.state == PartitionState.DONE:
            line.append(f" {finished.seconds:.1f} s", "dim")
        if finished.reason:
            line.append(f" {self._reason(finished)}", "dim")
        return line

    def _reason(self, finished: FinishedUnit) -> str:
        """Return the beginning of a reason, or the unit that had it first; the summary has all of it."""
        line = finished.reason.splitlines()[0]
        bare = _PLACE.sub("", line)
        first = self._reasons.setdefault(bare, finished.unit)
        if first != finished.unit:
            return f"same as {first}"
        return line if len(line) <= _LONG else f"{line[:_LONG].rpartition(' ')[0]} …"

    def _status(self) -> RenderableType:
        done, total, spent = len(self.tally.finished), self.tally.total, time.monotonic() - self._began
        filled = round(30 * done / total) if total else 30
        bar = Text.assemble(("━" * filled, "green"), ("━" * (30 - filled), "dim"), f" {done}/{total}")
        if done:
            bar.append(f"  {done / spent:.1f} a second", "dim")
        if left := self._seconds_left(done, total, spent):
            bar.append(f"  about {left:.0f} s left", "dim")
        return Group(bar, *[self._worker(number, at) for number, at in sorted(self._at.items())])

    def _worker(self, number: int, at: Text) -> Text:
        line = Text.assemble((f"  worker {number}: " if number else "  ", "dim"), at)
        line.no_wrap, line.overflow = True, "ellipsis"
        if number in self._counts:
            asset, partitions, rows = self._counts[number]
            of = "" if asset == at.plain else f"{asset} "
            line.append(f"  {of}× {partitions}, {rows:,} rows", "dim")
        return line

    def _seconds_left(self, done: int, total: int, spent: float) -> float | None:
        if done:
            return max(0.0, self._settled_after / done * total - spent)
        return None if self._expected is None else max(0.0, self._expected - spent)


def _describe_step(event: WorkerEvent) -> Text:
    names = ", ".join(event.assets[:3]) + (" …" if len(event.assets) > 3 else "")
    if event.reason:
        return Text.assemble(f"{names} again: ", (event.reason.splitlines()[0], "yellow"))
    return Text(names)
