"""How automation looks in a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from millpond.automation.overview import Item
    from millpond.automation.preview import Planned
    from millpond.settings import Settings

_OUTCOMES = {"failure": "red", "nothing to do": "dim"}


def paused_line(since: float) -> str:
    """Return the line that says that the home is paused."""
    moment = dt.datetime.fromtimestamp(since).astimezone()
    return f"automation is paused since {moment:%Y-%m-%d %H:%M:%S}; `millpond automation resume` ends it"


def print_list(items: Sequence[Item], settings: Settings, paused_since: float | None = None) -> None:
    """Print what runs by itself; times are in the configured zone."""
    table = _table("name", "kind", "state", "when", "last", "outcome", "next")
    for item in items:
        table.add_row(
            item.name,
            item.kind,
            Text(item.state, style="green" if item.state == "on" else "yellow"),
            item.when,
            _moment(item.last, settings),
            Text(item.outcome, style=_OUTCOMES.get(item.outcome, "")),
            _moment(item.next, settings),
        )
    console = _console()
    console.print(table)
    if paused_since:
        console.print(paused_line(paused_since), style="yellow")
    console.print(f"Times in {settings.timezone}. It happens while `millpond up` runs.", style="dim")


def print_preview(runs: Sequence[Planned], at: dt.datetime) -> None:
    """Print what would run at a moment, and why."""
    table = _table("by", "run", "days", "why")
    for run in runs:
        what = run.job or (", ".join(run.assets) if run.assets else "-")
        table.add_row(run.by, what, run.days, Text(run.why, style="" if run.assets or run.job else "dim"))
    console = _console()
    console.print(f"{at:%A %Y-%m-%d %H:%M %Z}, by what is on record now; nothing is run:")
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    return Console(width=None if Console().is_terminal else 10_000, highlight=False)


def _moment(moment: dt.datetime | None, settings: Settings) -> str:
    return f"{moment.astimezone(settings.zone):%Y-%m-%d %H:%M:%S}" if moment else ""
