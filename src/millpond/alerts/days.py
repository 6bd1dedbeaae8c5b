"""The days of an alert as text, a list of days and ranges `A...B`, and the commands that materialize them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from millpond.errors import PartitionKeyError
from millpond.naming import ref_option
from millpond.partitions import RANGE_SEPARATOR, Window, contiguous, parse_day

_BETWEEN = ", "
_SHOWN = 6
_RUNS, _LISTED = 3, 20
"""Most commands, and most days within one command, that are listed for separate days."""
_AGAIN = "; then run: "
_OTHERS = "; for what depends on the other days: "
_COMMAND = re.compile(r'millpond \w+ "([^"]*)"')


def parse_days(partition: str) -> list[str]:
    """Return each day of `partition` in order; a key that is not a day is kept as it is."""
    days: list[str] = []
    for part in filter(None, partition.split(_BETWEEN)):
        try:
            days += map(str, Window.parse(part).days)
        except PartitionKeyError:
            days.append(part)
    return sorted(set(days))


def format_days(days: Iterable[str]) -> str:
    """Return `days` as the fewest ranges, in order."""
    found = sorted(set(days))
    try:
        return _BETWEEN.join(map(str, contiguous(map(parse_day, found))))
    except PartitionKeyError:
        return _BETWEEN.join(found)


def shorten_days(partition: str) -> str:
    """Return the first ranges of `partition`, and how many more there are."""
    parts = partition.split(_BETWEEN)
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return _BETWEEN.join(parts[:_SHOWN]) + more


def days_option(partition: str, ref: str) -> str:
    """Return the options of `millpond materialize` for a day or a range, if any, and for a branch.

    For several ranges, these are all days from the first to the last.
    """
    if not partition:
        return ref_option(ref)
    days = parse_days(partition)
    if len(days) == 1:
        return f" --partition {days[0]}{ref_option(ref)}"
    return f" --range {days[0]}{RANGE_SEPARATOR}{days[-1]}{ref_option(ref)}"


def compose_commands(selection: str, partition: str, ref: str) -> str:
    """Return the commands that materialize `selection` for the days of `partition`, and few other days."""
    parts = partition.split(_BETWEEN)
    if len(parts) <= _RUNS:
        return "; ".join(f'millpond materialize "{selection}"{days_option(part, ref)}' for part in parts)
    if len(days := parse_days(partition)) <= _LISTED:
        return f'millpond backfill "{selection}" --partitions {",".join(days)} --force{ref_option(ref)}'
    return f'millpond materialize "{selection}"{days_option(partition, ref)}'


def add_commands(advice: str, selection: str, partition: str, ref: str, others: str = "") -> str:
    """Return `advice`, then the commands that materialize `selection` for the days of `partition`.

    `others` are the days of a run of which only some failed: assets downstream of the rest are missing too.
    """
    step = f"{advice}{_AGAIN}{compose_commands(selection, partition, ref)}"
    if not others:
        return step
    days = parse_days(others)
    between = f"--start-date {days[0]} --end-date {days[-1]}{ref_option(ref)}"
    return f'{step}{_OTHERS}millpond backfill "{selection}" {between}'


def replace_days(title: str, next_step: str, old: str, new: str, ref: str) -> tuple[str, str]:
    """Return title and next step of an alert about the days `old` as they are for the days `new`."""
    advice, between, commands = next_step.rpartition(_AGAIN)
    if between and (command := _COMMAND.match(commands)):
        others = "".join(commands.partition(_OTHERS)[1:])
        next_step = add_commands(advice, command[1], new, ref) + others
    return title.replace(f" for {shorten_days(old)}", f" for {shorten_days(new)}"), next_step
