"""Branches, what they changed and what a merge did, as text for people and as data for machines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from millpond.cli import output
from millpond.errors import ConfigError
from millpond.lake.windows import NOTHING
from millpond.naming import pluralize, ref_option

if TYPE_CHECKING:
    from millpond.lake.comparison import Comparison, TableComparison
    from millpond.lake.refs import Event, MergeResult, Ref, TableDiff

_LOOK = 'Look: millpond branch diff {0}\n      millpond sql --ref {0} "select …"'


def as_dict(ref: Ref) -> dict[str, Any]:
    """Return a ref for machines."""
    return {**asdict(ref), "state": ref.state}


def print_list(refs: Sequence[Ref]) -> None:
    """Print one line per ref."""
    rows = [
        (
            r.name,
            r.base or "",
            r.state,
            format_age(r.created_at),
            r.changed,
            r.run_id[:8],
            _describe_purpose(r),
        )
        for r in refs
    ]
    output.print_rows_as_table(("ref", "from", "state", "age", "tables changed", "run", "purpose"), rows)


def print_one(ref: Ref, changes: Iterable[TableDiff], events: Iterable[Event]) -> None:
    """Print a branch, its tables and its history."""
    console = output.make_console()
    console.print(
        Text.assemble((ref.name, "bold"), f"  {ref.state}, created from {ref.base} {_format_created(ref)}")
    )
    for label, text in (("purpose", ref.purpose), ("run", ref.run_id), ("kept because", ref.kept)):
        if text:
            console.print(f"{label}: {text}", markup=False)
    rows = [(c.table, c.change, c.windows, c.rows_added, c.rows_removed) for c in changes]
    if rows:
        console.print("Changed tables:")
        output.print_rows_as_table(("table", "change", "days", "rows written", "rows replaced"), rows)
    else:
        console.print("No table differs from its base.")
    lines = [(e.at, e.action, e.table, e.other_ref, e.run_id[:8]) for e in events]
    console.print("History, latest last:")
    output.print_rows_as_table(("at", "action", "table", "other ref", "run"), lines)
    console.print(_LOOK.format(ref.name), markup=False)


def print_comparison(found: Comparison) -> None:
    """Print what a branch changed: a summary, then sample rows of each table."""
    console = output.make_console()
    console.print(f"{found.ref} against {found.base} as it was at {found.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if not found.tables:
        console.print("No table differs.")
    else:
        output.print_rows_as_table(
            ("table", "change", "days", "key", "added", "removed", "changed", f"{found.base} since then"),
            [
                (
                    t.table,
                    t.change,
                    t.windows,
                    ", ".join(t.key) or None,
                    t.rows.added,
                    t.rows.removed,
                    t.rows.changed,
                    _describe_base(t),
                )
                for t in found.tables
            ],
        )
        for table in found.tables:
            _print_table(console, table)
    others = sorted(set(found.moved) - {t.table for t in found.tables})
    if others:
        console.print(f"{found.base} has changed in other tables since: {', '.join(others)}", markup=False)


def comparison_as_dict(found: Comparison) -> dict[str, Any]:
    """Return a comparison for machines; a changed column is an object with `before` and `after`."""
    result = asdict(found)
    for table in result["tables"]:
        for change in table["rows"]["samples_changed"]:
            change["columns"] = {
                name: dict(zip(("before", "after"), pair, strict=True))
                for name, pair in change["columns"].items()
            }
    return result


def print_merged(
    merged: MergeResult, changes: Iterable[TableDiff], marts: Sequence[str], promoted: int
) -> None:
    """Print what a merge moved, and what is left to do."""
    console = output.make_console()
    if not merged.tables:
        console.print(f"{merged.ref} had no changes; it is dropped")
        return
    days = {c.table: c for c in changes}
    rows = [
        (
            table,
            days[table].change if table in days else "changed",
            days[table].windows if table in days else None,
            f"rebased on {merged.into}" if table in merged.rebased else "",
        )
        for table in merged.tables
    ]
    console.print(f"Merged {merged.ref} into {merged.into}, all at once:")
    output.print_rows_as_table(("table", "change", "days", "note"), rows)
    console.print(f"{merged.ref} is dropped" + (f", with {', '.join(marts)}" if marts else ""))
    if promoted:
        console.print(f"In Dagster, {pluralize(promoted, 'materialization')} on it now count for main")
    console.print(
        f"Next: publish the marts of {merged.into}: millpond materialize group:marts{ref_option(merged.into)}"
    )


def failed_audit_error(ref: Ref) -> ConfigError:
    """Return the error for a branch that failed its audit."""
    return ConfigError(
        f"{ref.name} failed its audit: {ref.kept}",
        unharmed=f"{ref.base} and the branch; nothing moved",
        next_step="fix the cause and run again; or, if the audit was wrong,"
        f" millpond branch merge {ref.name} --force",
    )


def format_age(since: dt.datetime) -> str:
    """Return how long ago it was, in its largest unit."""
    seconds = (dt.datetime.now(dt.UTC) - since).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_table(console: Console, table: TableComparison) -> None:
    for word, columns in (("added", table.columns_added), ("removed", table.columns_removed)):
        if columns:
            console.print(f"{table.table}: columns {word}: {', '.join(columns)}", markup=False)
    if table.columns_retyped:
        console.print(f"{table.table}: columns retyped: {'; '.join(table.columns_retyped)}", markup=False)
    for word, rows in (("added", table.rows.samples_added), ("removed", table.rows.samples_removed)):
        if rows:
            console.print(f"{table.table}: {len(rows)} of {getattr(table.rows, word):,} rows {word}")
            output.print_rows_as_table(list(rows[0]), [list(row.values()) for row in rows])
    if changes := table.rows.samples_changed:
        console.print(f"{table.table}: {len(changes)} of {table.rows.changed:,} rows changed")
        lines = []
        for change in changes:
            key = [output.format_cell(value) for value in change.key.values()]
            for name, (before, after) in change.columns.items():
                values = output.format_cell(before, "red"), output.format_cell(after, "green")
                lines.append((*key, Text(name), *values))
                key = [Text("")] * len(key)
        output.print_table((*table.key, "column", "before", "after"), lines)


def _describe_base(table: TableComparison) -> str:
    if table.base_moved == NOTHING:
        return "unchanged"
    if table.both == NOTHING:
        return f"changed {table.base_moved}: a merge keeps both"
    return f"changed {table.both} as well: a merge is refused"


def _describe_purpose(ref: Ref) -> str:
    return ref.kept.splitlines()[0] if ref.kept else ref.purpose


def _format_created(ref: Ref) -> str:
    return f"{format_age(ref.created_at)} ago ({ref.created_at:%Y-%m-%d %H:%M:%S} UTC)"
