"""A backfill in the terminal: a line for each finished day, what the workers are at, how long it takes."""

from __future__ import annotations

import re
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from millpond.backfill.counts import in_words
from millpond.backfill.display_tally import Finished, Tally, Unit
from millpond.backfill.engine import Told
from millpond.backfill.ledger_chunks import Part

_LOOKS = {
    Part.DONE: ("✓", "OK", "green"),
    Part.FAILED: ("✗", "FAILED", "bold red"),
    Part.BLOCKED: ("✗", "WAITS", "red"),
    Part.UNREACHABLE: ("–", "unreachable", "yellow"),
    Part.OPEN: ("…", "open", "dim"),
}


_PLACE = re.compile(r"^[\w/]+, [\d.-]+: ")
"""The asset and days that a reason begins with."""
_LONG = 120
"""Signs of a reason from which on a line breaks it off."""


class Display:
    """Prints what workers tell; live in a terminal, plain lines elsewhere, nothing with `quiet`.

    `expected` are the seconds that it may take, None if unknown.
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

    def take(self, told: Told) -> None:
        """Take in what a worker says."""
        if told.kind == "settled":
            for finished in self.tally.settle(dict(told.settled)):
                self._console.print(self._line(finished), soft_wrap=True)
            self._settled_after = time.monotonic() - self._began
            self._at.pop(told.worker, None)
        elif told.kind == "working":
            self._counts.pop(told.worker, None)
            self._at[told.worker] = _step(told)
        else:
            asset, partitions, rows = self._counts.get(told.worker, (told.assets[0], 0, 0))
            if asset != told.assets[0]:
                asset, partitions, rows = told.assets[0], 0, 0
            self._counts[told.worker] = (asset, partitions + 1, rows + (told.rows or 0))

    def _line(self, finished: Finished) -> Text:
        mark, word, colour = _LOOKS[finished.state]
        width = len(str(self.tally.total))
        line = Text.assemble(
            (f"  {mark} ", colour),
            (f"[{finished.number:>{width}}/{self.tally.total}] ", "dim"),
            f"{finished.unit} ",
            (word, colour),
        )
        if finished.rows is not None and finished.state == Part.DONE:
            line.append(f" {finished.rows:,} rows")
        if counted := in_words(finished.counts):
            line.append(f", {counted}", "yellow")
        if finished.seconds is not None and finished.state == Part.DONE:
            line.append(f" {finished.seconds:.1f} s", "dim")
        if finished.reason:
            line.append(f" {self._reason(finished)}", "dim")
        return line

    def _reason(self, finished: Finished) -> str:
        """Return the beginning of a reason, or where it stands already; the summary has all of it, once."""
        said = finished.reason.splitlines()[0]
        bare = _PLACE.sub("", said)
        first = self._reasons.setdefault(bare, finished.unit)
        if first != finished.unit:
            return f"as {first}"
        return said if len(said) <= _LONG else f"{said[:_LONG].rpartition(' ')[0]} …"

    def _status(self) -> RenderableType:
        done, total, spent = len(self.tally.finished), self.tally.total, time.monotonic() - self._began
        filled = round(30 * done / total) if total else 30
        bar = Text.assemble(("━" * filled, "green"), ("━" * (30 - filled), "dim"), f" {done}/{total}")
        if done:
            bar.append(f"  {done / spent:.1f} a second", "dim")
        if left := self._left(done, total, spent):
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

    def _left(self, done: int, total: int, spent: float) -> float | None:
        if done:
            return max(0.0, self._settled_after / done * total - spent)
        return None if self._expected is None else max(0.0, self._expected - spent)


def _step(told: Told) -> Text:
    names = ", ".join(told.assets[:3]) + (" …" if len(told.assets) > 3 else "")
    if told.reason:
        return Text.assemble(f"{names} again: ", (told.reason.splitlines()[0], "yellow"))
    return Text(names)
