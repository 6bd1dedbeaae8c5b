"""How automation looks in a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from millpond.cli import output

if TYPE_CHECKING:
    from millpond.automation.overview import Item
    from millpond.automation.preview import PlannedRun
    from millpond.settings import Settings

_OUTCOMES = {"failure": "red", "nothing to do": "dim"}


def format_pause(since: float) -> str:
    """Return the line for a home that is paused."""
    moment = dt.datetime.fromtimestamp(since).astimezone()
    return f"automation is paused since {moment:%Y-%m-%d %H:%M:%S}; `millpond automation resume` resumes it"


def print_list(items: Sequence[Item], settings: Settings, paused_since: float | None = None) -> None:
    """Print what runs by itself; times are in the configured zone."""
    rows = [
        (
            Text(item.name),
            Text(item.kind),
            Text(item.state, style="green" if item.state == "on" else "yellow"),
            Text(item.when),
            Text(_format_time(item.last, settings)),
            Text(item.outcome, style=_OUTCOMES.get(item.outcome, "")),
            Text(_format_time(item.next, settings)),
        )
        for item in items
    ]
    output.print_table(("name", "kind", "state", "when", "last", "outcome", "next"), rows, plain=True)
    console = output.make_console()
    if paused_since:
        console.print(format_pause(paused_since), style="yellow")
    console.print(
        f"Times are in {settings.timezone}. Automation works while `millpond up` runs.", style="dim"
    )


def print_preview(runs: Sequence[PlannedRun], at: dt.datetime) -> None:
    """Print what would run at a given time, and why."""
    rows = []
    for run in runs:
        what = run.job or (", ".join(run.assets) if run.assets else "-")
        why = Text(run.why, style="" if run.assets or run.job else "dim")
        rows.append((Text(run.by), Text(what), Text(run.days), why))
    console = output.make_console()
    console.print(f"{at:%A %Y-%m-%d %H:%M %Z}, based on the records of now; nothing is started:")
    output.print_table(("by", "run", "days", "why"), rows, plain=True)


def _format_time(moment: dt.datetime | None, settings: Settings) -> str:
    return f"{moment.astimezone(settings.zone):%Y-%m-%d %H:%M:%S}" if moment else ""
