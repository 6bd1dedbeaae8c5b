"""Backfills as tables and as JSON: the list of all, and one with its partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from millpond.backfill.ledger import Backfill
from millpond.backfill.ledger_chunks import PartitionState
from millpond.cli import output
from millpond.cli.backfill_summary import as_document, print_summary

_COLUMNS = ("id", "selection", "ref", "days", "state", "done", "failed", "left", "seconds", "started")


def print_list(backfills: Sequence[Backfill], *, as_json: bool) -> None:
    """Print every backfill."""
    rows = [
        (
            one.id,
            one.selection,
            one.ref,
            str(one.window) if one.window else None,
            standing(one),
            one.counts.get(PartitionState.DONE, 0),
            one.counts.get(PartitionState.FAILED, 0) + one.counts.get(PartitionState.BLOCKED, 0),
            one.counts.get(PartitionState.OPEN, 0),
            round(one.seconds, 1),
            f"{one.started:%Y-%m-%d %H:%M:%S}",
        )
        for one in backfills
    ]
    if as_json:
        output.rows_as_json(_COLUMNS, rows)
    elif rows:
        output.rows_as_table(_COLUMNS, rows)
    else:
        typer.echo("no backfill was started in this home")


def print_one(backfill: Backfill, parts: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print one backfill with what came of its partitions."""
    if as_json:
        output.as_json(as_document(backfill, parts))
        return
    console = output.console()
    days = f" {backfill.window}" if backfill.window else ""
    console.print(f"{backfill.id}: {backfill.selection}{days} on {backfill.ref}, {standing(backfill)}")
    print_summary(console, backfill, parts)


def standing(backfill: Backfill) -> str:
    """Return the state, and of a running one whose process is gone that it is dead."""
    if backfill.state == "running":
        return f"running ({backfill.holder})" if backfill.alive else f"dead ({backfill.holder} is gone)"
    return str(backfill.state)
