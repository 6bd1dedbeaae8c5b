"""How alerts look in a terminal and as JSON."""

from __future__ import annotations

import datetime as dt
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from millpond.alerts.alert import Alert
from millpond.alerts.message import runbook_page
from millpond.cli import output

_COLOURS = {"critical": "bold red", "error": "red", "warning": "yellow", "info": "green"}
_STATES = {"delivered": "green", "pending": "yellow", "sending": "yellow", "abandoned": "bold red"}


def as_dict(alert: Alert, states: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an alert as plain values."""
    more = {"told": dict(states)} if states is not None else {}
    return {**asdict(alert), "runbook": runbook_page(alert.kind), **more}


def get_user_name() -> str:
    """Return the name of the user who runs this command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def print_list(
    found: Sequence[tuple[Alert, Mapping[str, str]]],
    silences: Sequence[Mapping[str, Any]],
    *,
    everything: bool,
) -> None:
    """Print alerts as a table, and the active silences."""
    console = output.make_console()
    columns, rows = ("id", "since", "severity", "what", "times", "sent"), []
    for alert, states in found:
        severity = Text(alert.severity, style=_COLOURS[alert.severity])
        if everything and not alert.is_open:
            severity = Text(f"{alert.severity}, resolved", style="dim")
        sent = Text(", ").join(
            Text(name if state == "delivered" else f"{name} {state}", style=_STATES.get(state, "dim"))
            for name, state in states.items()
        )
        since, times = Text(_format_time(alert.created_at)), Text(str(alert.times))
        rows.append((Text(str(alert.id)), since, severity, Text.assemble(_describe(alert)), times, sent))
    if found:
        output.print_table(columns, rows, right=("id", "times"), plain=True)
    else:
        console.print("no alerts" if everything else "no alert is open; --all includes resolved alerts")
    for each in silences:
        console.print(f"silent until {_format_time(each['until'])}: {each['pattern']}", style="dim")


def _describe(alert: Alert) -> str:
    return f"{alert.title}\n{alert.resolution}" if alert.closed_by else alert.title


def print_one(alert: Alert, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Print an alert with all its details."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(alert.title, style=_COLOURS[alert.severity])
    if alert.reason:
        console.print(alert.reason.strip())
    facts = {
        "Unharmed": alert.unharmed,
        "Next": alert.next_step,
        **alert.facts,
        "Kind": alert.kind,
        "Since": _format_time(alert.created_at),
        "Last": f"{_format_time(alert.last_at)}, {alert.times} times" if alert.times > 1 else "",
        "Resolved": f"{_format_time(alert.resolved_at)} {alert.resolution}" if alert.resolved_at else "",
        "Close": f"`millpond alerts close {alert.id}`, if it will not be resolved by itself"
        if alert.is_open and alert.lasts
        else "",
        "Logs": alert.run_url,
        "To do": runbook_page(alert.kind),
    }
    for name, value in facts.items():
        if value:
            console.print(f"  {name:<10}{value}")
    for each in deliveries:
        words = {"tell": "", "resolve": "its end, "}[each["action"]]
        state, tries = each["state"], each["attempts"]
        line = f"  {each['channel']:<10}{words}{state}, {tries} {'try' if tries == 1 else 'tries'}"
        if state == "delivered":
            line += f", {_format_time(each['delivered_at'])}"
        elif each["last_error"]:
            line += f", next {_format_time(each['next_attempt'])}: {each['last_error']}"
        console.print(line, style=_STATES.get(state, "dim"))


def _format_time(moment: dt.datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""
