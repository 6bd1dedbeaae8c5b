"""A plan in the terminal: one line for consecutive days and assets with the same state and reason."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from millpond.backfill.plan import Chunk, Item, Plan, State
from millpond.cli import output
from millpond.naming import MAIN_REF
from millpond.partitions import Window, contiguous

_COLOURS = {
    State.MISSING: "cyan",
    State.FAILED: "red",
    State.STALE: "yellow",
    State.FRESH: "green",
    State.UNREACHABLE: "dim",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PARTITIONS = ("assets", "days", "state", "why", "run")
_RUNS = ("run", "days", "assets")
_MOST_RUNS = 20
"""Runs that are listed one by one."""


def print_plan(plan: Plan) -> None:
    """Print the states with reasons, then the runs and how long they are expected to take."""
    console = output.make_console()
    where = "" if plan.ref == MAIN_REF else f" on {plan.ref}"
    counts = Counter(item.state for item in plan.items)
    due = sum(1 for _ in plan.todo())
    states = ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
    console.print(Text.assemble(("backfill ", "bold"), f"{plan.selection}{where}: ", states or "nothing"))
    if plan.items:
        output.print_table(_PARTITIONS, _build_partition_rows(plan.items), title="Partitions")
    if plan.chunks:
        output.print_table(_RUNS, _build_run_rows(plan.chunks), title="Runs")
    for line in plan.left_out:
        console.print(Text(f"– {line}", style="dim"), soft_wrap=True)
    if wiped := describe_wiped(plan):
        output.print_text(wiped)
    left = len(plan.items) - due
    runs = "1 run" if len(plan.chunks) == 1 else f"{len(plan.chunks):,} runs"
    if not due:
        console.print("nothing to do")
        return
    console.print(Text.assemble((f"{due:,} to do in {runs}", "bold"), f", {left:,} unchanged"))
    if plan.estimate:
        console.print(
            f"expected to take {_format_duration(plan.estimate.seconds)}, based on {plan.estimate.basis}"
        )
    else:
        console.print("no estimate yet: none of these assets has run in this home")


def describe_wiped(plan: Plan) -> str:
    """Return which partitions are left out as they were wiped, and what loads them again; empty if none."""
    days: defaultdict[str, list[dt.date]] = defaultdict(list)
    for item in plan.wiped():
        if item.partition:
            days[item.asset].append(item.partition)
    if not days:
        return ""
    shown = "; ".join(f"{asset} {', '.join(map(str, contiguous(found)))}" for asset, found in days.items())
    return f"Left out, as they were wiped: {shown}. `millpond materialize --accept-wiped` loads them again."


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return the whole plan as JSON values; days are ISO dates, windows `first...last`."""
    return {
        "selection": plan.selection,
        "ref": plan.ref,
        "code": plan.code,
        "items": [
            {
                "asset": item.asset,
                "partition": item.partition and str(item.partition),
                "state": item.state.value,
                "reason": item.reason,
                "todo": item.todo,
            }
            for item in plan.items
        ],
        "chunks": [
            {
                "number": chunk.number,
                "assets": list(chunk.assets),
                "whole": list(chunk.whole),
                "window": chunk.window and str(chunk.window),
            }
            for chunk in plan.chunks
        ],
        "left_out": list(plan.left_out),
        "estimate": plan.estimate and dataclasses.asdict(plan.estimate),
    }


def fold_items(items: Iterable[Item]) -> Iterator[tuple[list[str], str, State, str, bool]]:
    """Yield assets, days as text, state, reason and whether they run, grouped by equal state and reason.

    Dates in a reason that are the day or the day before are replaced by these words.
    """
    days: defaultdict[tuple[str, State, str, bool], list[dt.date]] = defaultdict(list)
    whole: dict[tuple[str, State, str, bool], None] = {}
    for item in items:
        key = (item.asset, item.state, _make_relative(item), item.todo)
        if item.partition is None:
            whole[key] = None
        else:
            days[key].append(item.partition)
    shared: defaultdict[tuple[str, State, str, bool], list[str]] = defaultdict(list)
    for (asset, state, reason, todo), found in days.items():
        for window in contiguous(found):
            shared[str(window), state, reason, todo].append(asset)
    for asset, state, reason, todo in whole:
        shared["", state, reason, todo].append(asset)
    for (text, state, reason, todo), assets in shared.items():
        yield assets, text, state, reason, todo


def _make_relative(item: Item) -> str:
    """Return the reason with the item's own day and the day before in words."""
    if (day := item.partition) is None:
        return item.reason

    def words(found: re.Match[str]) -> str:
        away = (day - dt.date.fromisoformat(found[0])).days
        return {0: "that day", 1: "the day before"}.get(away, found[0])

    return _DATE.sub(words, item.reason)


def _build_partition_rows(items: Iterable[Item]) -> list[list[Text]]:
    rows = []
    for assets, days, state, reason, todo in fold_items(items):
        why = "" if reason == state.value else reason
        name = Text(state.value, style=_COLOURS[state])
        rows.append(
            [Text(", ".join(assets)), Text(_format_days(days)), name, Text(why), Text("yes" if todo else "")]
        )
    return rows


def _build_run_rows(chunks: tuple[Chunk, ...]) -> list[list[Text]]:
    rows = []
    for chunk in chunks[:_MOST_RUNS]:
        rows.append([str(chunk.number), _format_days(str(chunk.window or "")), ", ".join(chunk.assets)])
        if chunk.whole:
            rows.append(["", "then whole", ", ".join(chunk.whole)])
    if len(chunks) > _MOST_RUNS:
        rows.append(["…", f"and {len(chunks) - _MOST_RUNS:,} more", "--json lists all"])
    return [[Text(cell) for cell in row] for row in rows]


def _format_days(window: str) -> str:
    if not window:
        return "whole"
    count = len(Window.parse(window))
    return f"{window} ({count:,})" if count > 1 else window


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
