"""What a failed test says beside dbt's verdict: rows that break it, and days that share a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millpond.transform.checks import Check

SAMPLES = 20

Ask = Callable[[str], tuple[list[str], Sequence[Sequence[Any]]]]
"""Runs a query on the ref under audit; returns names of columns and rows, or raises Refused."""


class Refused(Exception):
    """The engine could not run a query; the text is its own."""


def sample_rows(sql: str, ask: Ask) -> tuple[Mapping[str, Any], ...]:
    """Return rows that `sql`, a test as dbt compiled it, returns; none where it cannot run by itself."""
    try:
        names, rows = ask(f"select * from ({sql}) as broken limit {SAMPLES}")  # noqa: S608 - the project's own
    except Refused:  # the verdict stands without them
        return ()
    return tuple(dict(zip(names, row, strict=True)) for row in rows)


def shared_days(check: Check, sql: str, ask: Ask) -> tuple[str, ...]:
    """Return the days, in order, of keys that are on more than one; none where `check` is of no keys."""
    if not check.key or not check.day:
        return ()
    layer, _, name = check.reads[check.of].partition(".")
    columns, day = ", ".join(f"ours.{column}" for column in check.key), f"ours.{check.day}"
    first = "broken." + ("unique_field" if len(check.key) == 1 and "unique_field" in sql else check.key[0])
    found = [first, *(f"broken.{column}" for column in check.key[1:])]
    same = " and ".join(f"ours.{column} = {other}" for column, other in zip(check.key, found, strict=True))
    try:
        _, rows = ask(
            f"select cast(min({day}) as varchar), cast(max({day}) as varchar)"  # noqa: S608 - names of the project's
            f' from "lake"."{layer}"."{name}" as ours join (select * from ({sql}) as found limit {SAMPLES})'
            f" as broken on {same} group by {columns} having min({day}) < max({day})"
        )
    except Refused:  # as above
        return ()
    return tuple(sorted({str(day)[:10] for row in rows for day in row}))
