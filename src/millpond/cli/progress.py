"""The progress of a run: a line per asset, live in a terminal, else plain, and failures at the end."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import dagster as dg
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from millpond.backfill.pieces import format_counts, read_counts
from millpond.cli.output import spare_stdout, wrap_error
from millpond.naming import MAIN_REF, pluralize
from millpond.partitions import Window, contiguous, parse_day
from millpond.runs.progress import Progress, RunOutcome
from millpond.runs.run import materialize


def run_with_progress(
    selection: str,
    window: Window,
    *,
    quiet: bool = False,
    on_event: Callable[[Progress], None] | None = None,
    definitions: dg.Definitions | None = None,
    ref: str | None = None,
    tags: Mapping[str, str] | None = None,
    refuse_nothing: bool = False,
) -> RunOutcome:
    """Materialize `selection` over `window`, show the progress (unless `quiet`), return the outcome."""
    run = partial(
        materialize,
        selection,
        window,
        definitions=definitions,
        ref=ref,
        tags=tags,
        refuse_nothing=refuse_nothing,
    )
    if quiet:
        with spare_stdout():
            return run(on_event=on_event)
    console = Console(highlight=False)
    days = pluralize(len(window), "day")
    where = "" if ref in (None, MAIN_REF) else f"  on {ref}"
    console.print(Text.assemble(("materialize ", "bold"), selection, where, (f"  {window}  ({days})", "dim")))
    board = _Board(console)

    def both(event: Progress) -> None:
        board.take(event)
        if on_event:
            on_event(event)

    with board.live:
        outcome = run(on_event=both)
    board.finish()
    _print_end(console, outcome)
    return outcome


_RUNNING, _DONE, _PARTLY, _FAILED = "…", "✓", "!", "✗"
_COLOURS = {_RUNNING: "dim", _DONE: "green", _PARTLY: "yellow", _FAILED: "red"}


@dataclass
class _Line:
    began: float
    state: str = _RUNNING
    done: dict[str | None, Progress] = field(default_factory=dict)
    """What was materialized last of each partition: a retry does so again."""

    @property
    def partitions(self) -> int:
        return len(self.done)

    @property
    def rows(self) -> int | None:
        rows = [each.rows for each in self.done.values() if each.rows is not None]
        return sum(rows) if rows else None

    @property
    def seconds(self) -> float | None:
        found = [each.numbers.get("seconds", 0) for each in self.done.values()]
        return sum(found) if found else None

    @property
    def counts(self) -> Counter[str]:
        return sum((Counter(read_counts(each.numbers)) for each in self.done.values()), Counter[str]())


@dataclass
class _Board:
    """The assets so far; without a terminal, each finished asset becomes a plain line."""

    console: Console
    lines: dict[str, _Line] = field(default_factory=dict)
    printed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.live = Live(get_renderable=self._render_all, console=self.console, refresh_per_second=8)
        if not self.console.is_terminal:
            self.live = Live(Text(), console=Console(quiet=True), auto_refresh=False)

    def take(self, event: Progress) -> None:
        if event.kind == "started":
            self.finish()
            for asset in event.assets:
                self.lines.setdefault(asset, _Line(time.perf_counter()))
        elif event.kind == "materialized":
            line = self.lines.get(event.asset) or _Line(time.perf_counter())
            if not line.partitions:  # lines are in the order of materialization
                self.lines.pop(event.asset, None)
                self.lines[event.asset] = line
            line.done[event.partition] = event
            line.state = _DONE
        elif event.kind == "failed":
            for asset in event.assets:
                line = self.lines.setdefault(asset, _Line(time.perf_counter()))
                line.state = _PARTLY if line.partitions else _FAILED

    def finish(self) -> None:
        """Print finished assets, without a terminal."""
        if not self.console.is_terminal:
            for asset, line in self.lines.items():
                if asset not in self.printed and line.state != _RUNNING:
                    self.printed.add(asset)
                    self.console.print(_render(asset, line))

    def _render_all(self) -> RenderableType:
        done_first = sorted(self.lines.items(), key=lambda item: item[1].state == _RUNNING)
        return Group(*[_render(asset, line) for asset, line in done_first])


def _render(asset: str, line: _Line) -> Text:
    text = Text.assemble((f"  {line.state}", _COLOURS[line.state]), f" {asset:<36}")
    if line.partitions:
        rows = "" if line.rows is None else f"{line.rows:>9,} rows"
        text.append(f"{line.partitions:>5} × {rows:<15}", style="")
        if line.seconds:
            text.append(f"{line.seconds:>7.2f} s", style="dim")
        if counts := format_counts(line.counts):
            text.append(f"\n      {counts}", style="yellow")
    return text


def format_skipped(outcome: RunOutcome) -> list[str]:
    """Return a line for each asset with days that its source no longer serves, with the reason."""
    days: defaultdict[tuple[str, str], list[dt.date]] = defaultdict(list)
    for event in outcome.skipped:
        if event.partition:
            days[event.asset, event.message].append(parse_day(event.partition))
    return [
        f"{asset}: {', '.join(map(str, contiguous(found)))} skipped, {reason}"
        for (asset, reason), found in days.items()
    ]


def _wrap(text: str, console: Console) -> str:
    return wrap_error(text, console.width) if console.file.isatty() else text


def _print_end(console: Console, outcome: RunOutcome) -> None:
    for check in outcome.checks:
        if not check.passed:
            kind, colour = ("warning", "yellow") if check.warning else ("check failed", "red")
            console.print(
                Text.assemble(
                    (f"  {kind} ", colour), f"{check.asset}: {check.check} ", (check.message, "dim")
                )
            )
    for failure in outcome.failures:
        console.print(Text.assemble(("failed ", "bold red"), ", ".join(failure.assets) or "the run"))
        console.print(Text(_wrap(failure.message, console)), soft_wrap=True)
    for line in format_skipped(outcome):
        console.print(Text(_wrap(f"  – {line}", console), style="dim"), soft_wrap=True)
    if outcome.missing:
        colour = "dim" if outcome.success else "red"
        console.print(Text.assemble(("not materialized: ", colour), ", ".join(outcome.missing)))
    state = Text("failed", style="bold red")
    if outcome.success:
        left = bool(outcome.left_out)
        state = Text("partly done", style="bold yellow") if left else Text("done", style="bold green")
    console.print(Text.assemble(state, f" in {outcome.seconds:.1f} s ", (f"(run {outcome.run_id})", "dim")))
    for line in outcome.left_out:
        console.print(Text(_wrap(f"  left out: {line}", console), style="yellow"), soft_wrap=True)
