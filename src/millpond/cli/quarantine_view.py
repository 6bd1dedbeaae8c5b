"""Rows in quarantine as they are printed, and the runs that load or remove them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from millpond.naming import pluralize, ref_option
from millpond.partitions import Window, contiguous

if TYPE_CHECKING:
    from millpond.ingestion.quarantine import RuleCount
    from millpond.ingestion.spec import SourceTable

COLUMNS = ("asset", "day", "rule", "rows", "loaded_at", "refused")
_PAYLOAD = 60
"""Characters of a payload that are shown."""


@dataclass(frozen=True)
class Chosen:
    """The rows in quarantine that a command is about; no `window` means all days."""

    name: str
    tables: list[SourceTable]
    window: Window | None
    rule: str | None
    ref: str

    def options(self, window: Window | None) -> str:
        """Return the options that name these rows of the days of `window`."""
        days = f" {window.option}" if window else ""
        return f"{days}{f' --rule {self.rule}' if self.rule else ''}{ref_option(self.ref)}"


def choose(
    name: str | None, partition: str | None, range_: str | None, rule: str | None, ref: str | None
) -> Chosen:
    """Return what was typed. Raises ConfigError, PartitionKeyError, RefNotFound for what is not there."""
    from millpond.cli.arguments import check_ref_and_days, parse_window, require_ref
    from millpond.errors import ConfigError
    from millpond.ingestion.reading import find_table, load_sources
    from millpond.settings import settings

    sources = load_sources(settings())
    tables = [table for source in sources for table in source.tables if name in (None, source.source)]
    if name and not tables:
        source, index = find_table(sources, name)
        tables = [source.tables[index]]
    if name and not any(table.has_days for table in tables):
        raise ConfigError(
            f"{name} has no days: it is loaded whole, and so are the rows that broke its contract",
            unharmed="everything; nothing was done",
            next_step="`millpond sql` shows the rows of its table in the layer quarantine;"
            " `millpond materialize` loads it again",
        )
    tables = [table for table in tables if table.has_days]
    if partition and range_:
        raise typer.BadParameter("give either --partition or --range")
    days = partition or range_
    window = check_ref_and_days(ref, lambda: parse_window(days, cut=True) if days else None)
    return Chosen(name or "", tables, window, rule, require_ref(ref))


def as_rows(found: Sequence[RuleCount]) -> list[list[Any]]:
    """Return a row for each rule of a day."""
    return [
        [
            *(each.asset, each.day, each.rule or "no rule", each.rows),
            *(f"{each.loaded_at:%m-%d %H:%M}", "refused" if each.refused else ""),
        ]
        for each in found
    ]


def show_rows(chosen: Chosen, limit: int, *, as_json: bool) -> None:
    """Print rows with reason and payload, secrets and values of sensitive columns left out."""
    from millpond.cli import output
    from millpond.cli.sensitive import find_hidden
    from millpond.ingestion.quarantine import list_rows
    from millpond.redaction import redacted
    from millpond.transform.sensitive import HIDDEN

    hidden = {table.asset: find_hidden(table) for table in chosen.tables}
    hidden_keys = {table.asset for table in chosen.tables if hidden[table.asset] & {*table.identifying}}
    rows = [
        (table.asset, row)
        for table in chosen.tables
        for row in list_rows(table, chosen.ref, chosen.window, chosen.rule)
    ]
    shown = [
        {
            "asset": asset,
            **dataclasses.asdict(row),
            "reason": redacted(row.reason or ""),
            "row_key": None
            if row.row_key is None
            else (HIDDEN if asset in hidden_keys else redacted(row.row_key)),
            "payload": HIDDEN if hidden[asset] else redacted(row.payload),
        }
        for asset, row in itertools.islice(rows, limit)
    ]
    if as_json:
        output.print_json(shown)
        return
    columns = ("day", "rules", "reason", "row_key", "payload")
    for row in shown:
        row["rules"] = ", ".join(row["rules"])
        row["payload"] = _abridge(row["payload"])
    if shown:
        output.print_rows_as_table(columns, [[row[column] for column in columns] for row in shown])
    else:
        typer.echo(f"no rows of {chosen.name} are in quarantine{_of(chosen)}")
    if len(rows) > limit:
        typer.echo(
            f"{pluralize(len(rows) - limit, 'more row')}: --limit shows more, --rule and --partition fewer"
        )


def confirm_discard(chosen: Chosen, *, yes: bool, as_json: bool) -> None:
    """Ask whether the rows are to be removed, unless `yes`. Raises ConfigError where nobody can answer."""
    from millpond.errors import ConfigError

    rows = sum(sum(_count(chosen, table).values()) for table in chosen.tables)
    if yes or not rows:
        return
    what = f"{_rows(rows)} of {chosen.name}{_of(chosen)} from quarantine for good"
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            f"to remove {what} has to be confirmed, and there is no terminal to ask",
            unharmed="everything; nothing was removed",
            next_step=f"`millpond quarantine show {chosen.name}{chosen.options(chosen.window)}` shows them;"
            " repeat it with --yes",
        )
    typer.confirm(f"Remove {what}?", default=False, abort=True)


def settle(chosen: Chosen, action: Literal["replay", "discard"], *, downstream: bool, as_json: bool) -> bool:
    """Load or remove the rows with runs of their assets; returns whether all runs succeeded."""
    from millpond.cli import output
    from millpond.cli.startup import dismiss_unneeded_companion, start_companion

    before = {table.asset: _count(chosen, table) for table in chosen.tables}
    runs = [
        (table, days)
        for table in chosen.tables
        for days in _stretches(before[table.asset], chosen.window, apart=downstream)
        if before[table.asset] or not any(before.values())
    ]
    if not runs:
        if as_json:
            output.print_json([])
        else:
            typer.echo(f"nothing to do: no rows of {chosen.name} are in quarantine{_of(chosen)}")
        return True
    results, succeeded = [], True
    with start_companion(needed=downstream):
        from millpond.cli.progress import run_with_progress
        from millpond.definitions import defs
        from millpond.resources.run import ACCEPT_TAG, RULE_TAG
        from millpond.runs.selection import resolve_selection

        for table, days in runs:
            selection = f"{table.asset}*" if downstream else table.asset
            if downstream:
                keys = resolve_selection(selection, defs.resolve_asset_graph())
                dismiss_unneeded_companion(key.to_user_string() for key in keys)
            tags = {ACCEPT_TAG: action, **({RULE_TAG: chosen.rule} if chosen.rule else {})}
            outcome = run_with_progress(selection, days, quiet=as_json, ref=chosen.ref, tags=tags)
            succeeded &= outcome.success
            there = sum(rows for day, rows in before[table.asset].items() if day in days)
            left = sum(_count(dataclasses.replace(chosen, window=days), table).values())
            results.append(
                {"asset": table.asset, "days": str(days), "rows": there, "rows_left": left, "run": outcome}
            )
            if not as_json:
                typer.echo(_say(action, table.asset, days, there, left, chosen, downstream=downstream))
    if as_json:
        output.print_json(results)
    return succeeded


def _say(
    action: str, asset: str, days: Window, there: int, left: int, chosen: Chosen, *, downstream: bool
) -> str:
    gone = there - left
    said = f"{asset} {days}: {_rows(gone)} {'moved' if action == 'replay' else 'removed'}, {left:,} left"
    if left and action == "replay":
        said += f"\n  millpond quarantine show {asset}{chosen.options(days)}"
    if gone and action == "replay" and not downstream:
        below = f"""'key:"{asset}"+ and not key:"{asset}"'"""
        said += f"\n  what reads it is stale: millpond backfill {below} --stale{ref_option(chosen.ref)}"
    return said


def _stretches(found: dict[dt.date, int], window: Window | None, *, apart: bool) -> list[Window]:
    """Return the windows to run: those of days with rows, one for all unless `apart`.

    Days that were typed are run also without rows: a run that was killed may have left them unrecorded.
    """
    if not found:
        return [window] if window else []
    return contiguous(found) if apart else [Window.of_days(min(found), max(found))]


def _count(chosen: Chosen, table: SourceTable) -> dict[dt.date, int]:
    from millpond.ingestion.quarantine import count_chosen

    return count_chosen(table, chosen.ref, chosen.window, chosen.rule)


def _of(chosen: Chosen) -> str:
    return f" for {chosen.window}" * bool(chosen.window) + f" by rule {chosen.rule}" * bool(chosen.rule)


def _rows(number: int) -> str:
    return pluralize(number, "row")


def _abridge(payload: str) -> str:
    text = " ".join(payload.split())
    return text if len(text) <= _PAYLOAD else f"{text[: _PAYLOAD - 1]}…"
