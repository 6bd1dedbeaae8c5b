"""Days that were held back: as rows, as commands that accept them, and how to accept them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from millpond.naming import pluralize, ref_option
from millpond.partitions import Window, contiguous

if TYPE_CHECKING:
    from millpond.lake.held import Held

COLUMNS = ("asset", "day", "ref", "loaded", "now", "held_at")


def list_rows(found: Sequence[Held]) -> list[list[Any]]:
    """Return a row for each day: the rows that are loaded and those that are held back."""
    return [
        [
            *(_get_asset(each), each.day, each.ref),
            *(each.rows_loaded, each.rows_held),
            f"{each.held_at:%m-%d %H:%M}",
        ]
        for each in found
    ]


def format_accept_lines(found: Sequence[Held]) -> list[str]:
    """Return two lines for consecutive days that are held back: how many rows, and how to accept them."""
    return [
        line
        for asset, ref, days, part in _group_days(found)
        for line in (
            f"{asset} {days}: {pluralize(sum(e.rows_loaded for e in part), 'row')} loaded,"
            f" {sum(e.rows_held for e in part):,} now",
            f"  {format_accept_command(asset, days, ref)}",
        )
    ]


def format_accept_command(asset: str, days: Window, ref: str) -> str:
    """Return the command that accepts days."""
    return f"millpond sources accept {asset} {days.option}{ref_option(ref)}"


def accept(name: str, days: str, *, downstream: bool, ref: str | None, as_json: bool) -> bool:
    """Accept what is held back for `days` of a source, table or asset, in one run for consecutive days.

    Returns whether all runs succeeded. Raises ConfigError if nothing is held back.
    """
    from millpond.cli import output
    from millpond.cli.arguments import check_ref_and_days, parse_window, require_ref
    from millpond.cli.startup import dismiss_unneeded_companion, start_companion
    from millpond.errors import ConfigError
    from millpond.lake.held import list_held

    window = check_ref_and_days(ref, lambda: parse_window(days, cut=True))
    on, wanted = require_ref(ref), find_raw_tables(name)
    every = [each for each in list_held(on) if each.table in wanted]
    found = [each for each in every if each.day in window]
    if not found:
        waiting = "; ".join(
            f"`{format_accept_command(asset, days, on)}`" for asset, on, days, _ in _group_days(every)
        )
        raise ConfigError(
            f"no rows of {name} are held back for {window}",
            unharmed="everything; nothing was changed",
            next_step=f"{waiting} accepts what is held back"
            if every
            else "`millpond sources held` lists what is",
        )
    with start_companion():
        from millpond.cli.progress import run_with_progress
        from millpond.definitions import defs
        from millpond.resources.run import ACCEPT_TAG
        from millpond.runs.selection import resolve_selection

        outcomes = []
        for asset, _, stretch, _ in _group_days(found):
            selection = f"{asset}*" if downstream else asset
            keys = resolve_selection(selection, defs.resolve_asset_graph())
            dismiss_unneeded_companion(key.to_user_string() for key in keys)
            tags = {ACCEPT_TAG: "held"}
            outcomes.append(run_with_progress(selection, stretch, quiet=as_json, ref=on, tags=tags))
    if as_json:
        output.print_json(outcomes)
    return all(outcome.success for outcome in outcomes)


def find_raw_tables(name: str) -> set[str]:
    """Return the raw tables of a source, table or asset. Raises ConfigError."""
    from millpond.ingestion.reading import find_table, load_sources
    from millpond.settings import settings

    sources = load_sources(settings())
    for source in sources:
        if source.source == name:
            return {table.raw_table for table in source.tables}
    source, index = find_table(sources, name)
    return {source.tables[index].raw_table}


def _group_days(found: Sequence[Held]) -> Iterator[tuple[str, str, Window, list[Held]]]:
    """Yield asset, ref and consecutive days, with what is held back of them; `found` is sorted."""
    for (asset, ref), of_one in groupby(found, lambda each: (_get_asset(each), each.ref)):
        by_day: dict[dt.date, Held] = {each.day: each for each in of_one}
        for days in contiguous(by_day):
            yield asset, ref, days, [by_day[day] for day in days.days]


def _get_asset(held: Held) -> str:
    return f"dlt_{held.table.partition('.')[2]}"
