"""Backfills as tables and as JSON: all of them, or one with the results of its partitions."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from millpond.backfill.ledger import Backfill
from millpond.backfill.ledger_chunks import PartitionState
from millpond.backfill.pieces import COUNT_METADATA, format_counts
from millpond.cli import output
from millpond.naming import pluralize
from millpond.partitions import contiguous

_REASONS = 10
_ALWAYS = ("asset", "done", "rows")
Row = Mapping[str, Any]


def as_document(backfill: Backfill, parts: Iterable[Row]) -> dict[str, Any]:
    """Return a backfill for machines: its attributes, counts, totals, and each partition."""
    rows = list(parts)
    return {
        "id": backfill.id,
        "selection": backfill.selection,
        "ref": backfill.ref,
        "state": backfill.state,
        "alive": backfill.alive,
        "pid": backfill.holder.pid,
        "host": backfill.holder.host,
        "first": backfill.window.start if backfill.window else None,
        "last": backfill.window.last if backfill.window else None,
        "started": backfill.started,
        "ended": backfill.ended,
        "seconds": round(backfill.seconds, 3),
        "skipped": backfill.skipped,
        **{part.value: backfill.counts.get(part, 0) for part in PartitionState},
        **compute_totals(rows, backfill.seconds),
        "next": list_next_steps(backfill, rows),
        "partitions": [dict(row) for row in rows],
    }


def list_next_steps(backfill: Backfill, parts: Iterable[Row]) -> list[str]:
    """Return what to do about failed partitions, then how to resume; empty if nothing is left."""
    advised = [
        step for row in parts if row["state"] == PartitionState.FAILED for step in row["next"].splitlines()
    ]
    on = [f"`millpond backfill --resume {backfill.id}`"] if backfill.unfinished else []
    return list(dict.fromkeys([*advised, *on]))


def compute_totals(parts: Iterable[Row], seconds: float) -> dict[str, Any]:
    """Return rows loaded (else those of the largest asset), rows per second, and other counts of loads."""
    by_asset: dict[str, int] = {}
    loaded, rows_of = 0, list(parts)
    for row in rows_of:
        by_asset[row["asset"]] = by_asset.get(row["asset"], 0) + (row["rows"] or 0)
        if row["quarantined"] is not None:
            loaded += row["rows"] or 0
    rows = loaded or max(by_asset.values(), default=0)
    return {
        "rows": rows,
        **{name: sum(row[name] or 0 for row in rows_of) for name in COUNT_METADATA},
        "rows_per_second": round(rows / seconds if seconds else 0),
    }


def print_summary(console: Console, backfill: Backfill, parts: Iterable[Row]) -> None:
    """Print the results of each asset, why partitions are not done, and what to do next."""
    rows = list(parts)
    columns = ("asset", "done", "failed", "unreachable", "open", "rows", "quarantined")
    figures: list[tuple[str, ...]] = []
    for asset in dict.fromkeys(row["asset"] for row in rows):
        own = [row for row in rows if row["asset"] == asset]
        states = [row["state"] for row in own]
        failed = states.count(PartitionState.FAILED) + states.count(PartitionState.BLOCKED)
        counts = (
            states.count(PartitionState.DONE),
            failed,
            states.count(PartitionState.UNREACHABLE),
            states.count(PartitionState.OPEN),
        )
        quarantined = [row["quarantined"] for row in own if row["quarantined"] is not None]
        figures.append(
            (
                asset,
                *[f"{count:,}" if count else "·" for count in counts],
                f"{sum(row['rows'] or 0 for row in own):,}",
                f"{sum(quarantined):,}" if quarantined else "·",
            )
        )
    shown = [n for n, name in enumerate(columns) if name in _ALWAYS or any(r[n] != "·" for r in figures)]
    cells = [[Text(figure[n]) for n in shown] for figure in figures]
    output.print_table([columns[n] for n in shown], cells, right=columns[1:], plain=True)
    _print_reasons(console, backfill, rows)
    _print_end(console, backfill, rows)


def _print_reasons(console: Console, backfill: Backfill, rows: list[Row]) -> None:
    found: dict[tuple[str, str, str], list[dt.date]] = {}
    single: dict[tuple[str, str, str], str] = {}
    for row in rows:
        if row["state"] in (PartitionState.FAILED, PartitionState.UNREACHABLE):
            reason = (row["reason"] or "").partition("\n")[0]
            reason = re.sub(rf"^{re.escape(row['asset'])}, [\d.-]+: ", "", reason)  # printed before it
            shared = reason
            if row["day"]:
                shared = re.sub(rf"(?<!\.\.\.){row['day']}(?!\.\.\.)", "the day", reason)
            key = (row["state"], row["asset"], shared)
            single.setdefault(key, reason)
            found.setdefault(key, []).extend([row["day"]] if row["day"] else [])
    for key, days in list(found.items())[:_REASONS]:
        state, asset, reason = key
        if len(days) == 1:
            reason = single[key]
        colour = "red" if state == PartitionState.FAILED else "yellow"
        where = " ".join([asset, ", ".join(map(str, contiguous(days)))]).rstrip()
        console.print(Text.assemble((f"{state} ", colour), f"{where} ", (reason, "dim")), soft_wrap=True)
    if len(found) > _REASONS:
        console.print(
            f"… and {len(found) - _REASONS} more reasons: millpond backfill show {backfill.id} --json",
            style="dim",
        )


def _print_end(console: Console, backfill: Backfill, rows: list[Row]) -> None:
    counts, sums = backfill.counts, compute_totals(rows, backfill.seconds)
    failed = counts.get(PartitionState.FAILED, 0) + counts.get(PartitionState.BLOCKED, 0)
    words = [
        f"{pluralize(counts.get(PartitionState.DONE, 0), 'partition')} done",
        f"{backfill.skipped:,} skipped" if backfill.skipped else "",
        f"{failed:,} failed" if failed else "",
        f"{counts.get(PartitionState.UNREACHABLE, 0):,} unreachable"
        if counts.get(PartitionState.UNREACHABLE)
        else "",
        f"{counts.get(PartitionState.OPEN, 0):,} left" if counts.get(PartitionState.OPEN) else "",
        format_counts(sums),
    ]
    colour = "bold green" if backfill.state == "done" else "bold yellow" if not failed else "bold red"
    console.print(
        Text.assemble(
            (f"{backfill.state} ", colour),
            f"in {backfill.seconds:.1f} s: {', '.join(filter(None, words))}",
            (
                f"; {sums['rows']:,} rows, {sums['rows_per_second']:,} a second (backfill {backfill.id})",
                "dim",
            ),
        )
    )
    label = "Next: "
    *advised, on = list_next_steps(backfill, rows) or [""]
    for step in [*advised[:_REASONS], on] if on else []:
        console.print(f"{label}{step}", style="dim", markup=False, soft_wrap=True)
        label = " " * len(label)


_COLUMNS = ("id", "selection", "ref", "days", "state", "done", "failed", "left", "seconds", "started")


def print_list(backfills: Sequence[Backfill], *, as_json: bool) -> None:
    """Print every backfill."""
    rows = [
        (
            one.id,
            one.selection,
            one.ref,
            str(one.window) if one.window else None,
            describe_state(one),
            one.counts.get(PartitionState.DONE, 0),
            one.counts.get(PartitionState.FAILED, 0) + one.counts.get(PartitionState.BLOCKED, 0),
            one.counts.get(PartitionState.OPEN, 0),
            round(one.seconds, 1),
            f"{one.started:%Y-%m-%d %H:%M:%S}",
        )
        for one in backfills
    ]
    if as_json:
        output.print_rows_as_json(_COLUMNS, rows)
    elif rows:
        output.print_rows_as_table(_COLUMNS, rows)
    else:
        typer.echo("no backfills in this home yet")


def print_one(backfill: Backfill, parts: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print one backfill with the results of its partitions."""
    if as_json:
        output.print_json(as_document(backfill, parts))
        return
    console = output.make_console()
    days = f" {backfill.window}" if backfill.window else ""
    console.print(f"{backfill.id}: {backfill.selection}{days} on {backfill.ref}, {describe_state(backfill)}")
    print_summary(console, backfill, parts)


def describe_state(backfill: Backfill) -> str:
    """Return the state; a running backfill whose process is gone is dead."""
    if backfill.state == "running":
        return f"running ({backfill.holder})" if backfill.alive else f"dead ({backfill.holder} is gone)"
    return str(backfill.state)
