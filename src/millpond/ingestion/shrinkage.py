"""Days that come back with far fewer rows than are loaded: finding them and keeping their new rows aside."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from millpond.errors import RowsHeldBack
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.ingestion.window import Shrink
from millpond.lake import read
from millpond.lake.hashing import Digest, Digests
from millpond.lake.held import hold
from millpond.lake.most_rows import Keeping, MostRows, read_most_rows
from millpond.lake.spec import Replacement
from millpond.naming import PARTITION_COLUMN, agree, pluralize, ref_option
from millpond.partitions import Window, contiguous
from millpond.settings import settings

_SHOWN = 8
"""Days whose counts a message lists; `millpond sources held` lists all."""


class DaysShrank(Exception):
    """Days of a write that lost too many rows: what is there of each, and the most rows each has had."""

    def __init__(self, days: Mapping[dt.date, Digest], most: MostRows) -> None:
        super().__init__(", ".join(map(str, contiguous(days))))
        self.days, self.most = days, most


class DaysUnproven(Exception):
    """Days of a write that lost rows of which the source may just not reach back to all."""

    def __init__(self, days: Collection[dt.date]) -> None:
        super().__init__(", ".join(map(str, contiguous(days))))
        self.days = days


@dataclass(frozen=True)
class Shrinkage:
    """What one load may take away from the days that are loaded; `rule` None: everything.

    `planned` are the rows that the load would take away of each day, in all its writes, as counted before
    the first of them. `unproven` days must not lose any.
    """

    rule: Shrink | None
    unproven: Collection[dt.date] = frozenset()
    planned: Mapping[dt.date, int] = field(default_factory=dict)

    @property
    def keeping(self) -> Keeping:
        """Whether a day's largest number of rows stays its measure."""
        return "record" if self.rule and self.rule.hold_below else "forget"

    def check(self, window: Window, before: Digests, after: Digests, most: MostRows) -> None:
        """Raise DaysShrank if days lose more rows than allowed, DaysUnproven if these lose any."""
        there, now = _rows(before), _rows(after)
        if fewer := [day for day in self.unproven if now.get(day, 0) < there.get(day, 0)]:
            raise DaysUnproven(fewer)
        if self.rule is None:
            return
        taken = find_losses(self.rule, there, now, most)
        together = sum(taken.values()) + sum(n for day, n in self.planned.items() if day not in window)
        shrank = {
            day: before[day]
            for day in taken
            if not now.get(day)
            or together >= self.rule.min_rows
            or max(there[day], most.get(day, 0)) >= self.rule.min_rows
        }
        if shrank:
            raise DaysShrank(shrank, {day: max(there[day], most.get(day, 0)) for day in shrank})

    def check_whole(self, table: SourceTable, before: Digests, after: Digests, most: MostRows) -> None:  # noqa: ARG002
        """Raise RowsHeldBack if a table without days loses more rows than allowed."""
        there, now = (found.get(None, Digest()).rows for found in (before, after))
        rule = self.rule
        if rule is None or now >= there or now >= rule.hold_below * there:
            return
        if now and there - now < rule.min_rows:
            return
        raise RowsHeldBack(
            f"{table.asset}: the source now has {now:,} good rows, {there:,} are loaded",
            unharmed=f"the {pluralize(there, 'row')} loaded before, which {agree(there, 'stay')} visible",
            next_step="if these rows are gone at the source for good,"
            f" `millpond materialize {table.asset} --accept-shrink` takes the smaller state;"
            " if not, load again when the source is complete",
        )


def find_losses(rule: Shrink, there: MostRows, now: MostRows, most: MostRows) -> dict[dt.date, int]:
    """Return the rows taken away of each day that would keep too small a share of the most it has had."""
    taken = {}
    for day, rows in there.items():
        left, top = now.get(day, 0), max(rows, most.get(day, 0))
        if left < rows and left < rule.hold_below * top:
            taken[day] = top - left
    return taken


def plan_losses(
    table: SourceTable, rule: Shrink, days: Collection[dt.date], counts: Mapping[dt.date, Counts], ref: str
) -> dict[dt.date, int]:
    """Return the rows that a load of `days` would take away of each, by what is there before it writes."""
    if not read.exists(ref, table.raw_table):
        return {}
    window = Window.of_days(min(days), max(days))
    there = count_rows(ref, table.raw_table, window)
    most = read_most_rows(read.load_table(ref, table.raw_table).properties)
    now = {day: counts[day].good for day in days}
    return find_losses(rule, {day: there[day] for day in days if there[day]}, now, most)


def count_rows(ref: str, name: str, window: Window) -> Counter[dt.date]:
    """Return how many rows a table holds of each day of `window`."""
    if not read.exists(ref, name):
        return Counter()
    found = read.scan(ref, name, columns=[PARTITION_COLUMN], window=window)
    return Counter(found[PARTITION_COLUMN].to_pylist())


def _rows(found: Digests) -> dict[dt.date, int]:
    return {day: digest.rows for day, digest in found.items() if day}


def hold_back(
    table: SourceTable, validated: ValidatedRows, shrank: DaysShrank, ref: str, run_id: str
) -> dict[dt.date, RowsHeldBack]:
    """Keep the new rows of days that `shrank` aside, good and quarantined, and return the error of each."""
    days = shrank.days
    loaded_at = dt.datetime.now(dt.UTC)
    raw, quarantine = lake_tables(table)
    windows = contiguous(days)
    found = {
        day: (there, validated.counts[day].good, _details(validated, day)) for day, there in days.items()
    }
    branch = hold(
        ref,
        raw.name,
        found,
        [
            [
                Replacement(raw, validated.good(window, run_id, loaded_at), window),
                Replacement(quarantine, validated.bad(window, run_id, loaded_at), window),
            ]
            for window in windows
        ],
        run_id,
    )
    errors: dict[dt.date, RowsHeldBack] = {}
    for window in windows:
        errors |= dict.fromkeys(window.days, _error(table, validated, window, shrank, ref, branch))
    return errors


def _details(validated: ValidatedRows, day: dt.date) -> dict[str, Any]:
    """Return the counts of a day; one that broke a fatal rule failed before, so there are none of these."""
    return {name: value for name, value in asdict(validated.counts[day]).items() if name != "fatal"}


def _error(
    table: SourceTable,
    validated: ValidatedRows,
    window: Window,
    shrank: DaysShrank,
    ref: str,
    branch: str,
) -> RowsHeldBack:
    days = shrank.days
    there, counts = sum(days[day].rows for day in window.days), [validated.counts[day] for day in window.days]
    now, bad = sum(found.good for found in counts), sum(found.bad for found in counts)
    text = f"{table.describe(window)}: held back, the source now has {now:,} good rows, {there:,} are loaded"
    if (most := sum(shrank.most[day] for day in window.days)) > there:
        text += f" and {most:,} were once"
    if bad:
        before = count_rows(ref, table.quarantine_table, window).total()
        text += f" (quarantined: {bad:,} now, {before:,} before)"
    if len(window) > 1:
        listed = [
            f"{day} {days[day].rows:,} → {validated.counts[day].good:,}" for day in window.days[:_SHOWN]
        ]
        more = f", and {pluralize(len(window) - _SHOWN, 'more day')}" if len(window) > _SHOWN else ""
        text += f"; loaded → now: {', '.join(listed)}{more}"
    return RowsHeldBack(
        text,
        unharmed=f"the {pluralize(there, 'row')} loaded before, which {agree(there, 'stay')} visible; the new"
        f" rows are kept on branch {branch} for {settings().branch_retention_days:g} days",
        next_step="if these rows are gone at the source for good,"
        f" `millpond sources accept {table.asset} {window.option}{ref_option(ref)}` takes the smaller"
        " state; if not, load again when the source is complete",
    )
