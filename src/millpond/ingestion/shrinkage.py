"""Days that come back with far fewer rows than are loaded: finding them and keeping their new rows aside."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from millpond.errors import RowsHeldBack
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.verdicts import Verdicts
from millpond.ingestion.window import Shrink
from millpond.lake import read
from millpond.lake.hashing import Digest, Digests
from millpond.lake.held import hold
from millpond.lake.spec import Replacement
from millpond.naming import PARTITION_COLUMN, ref_option
from millpond.partitions import Window, contiguous
from millpond.settings import settings

_SHOWN = 8
"""Days whose counts a message lists; `millpond sources held` lists all."""


class DaysShrank(Exception):
    """Days of a write that lost too many rows, with what is there of each."""

    def __init__(self, days: Mapping[dt.date, Digest]) -> None:
        super().__init__(", ".join(map(str, contiguous(days))))
        self.days = days


class DaysUnproven(Exception):
    """Days of a write that lost rows of which the source may just not reach back to all."""

    def __init__(self, days: Collection[dt.date]) -> None:
        super().__init__(", ".join(map(str, contiguous(days))))
        self.days = days


def refuse_shrinking(
    rule: Shrink | None, unproven: Collection[dt.date], before: Digests, after: Digests
) -> None:
    """Raise DaysShrank if days lose more of their rows than `rule` allows, DaysUnproven if these lose any."""
    if fewer := [d for d in unproven if after.get(d, Digest()).rows < before.get(d, Digest()).rows]:
        raise DaysUnproven(fewer)
    if rule is None:
        return
    lost = {
        day: there
        for day, there in before.items()
        if day and after.get(day, Digest()).rows < rule.hold_below * there.rows
    }
    emptied = {day for day in lost if not after.get(day, Digest()).rows}
    together = sum(lost[day].rows for day in emptied)
    shrank = {
        day: there
        for day, there in lost.items()
        if there.rows >= rule.min_rows or (day in emptied and together >= rule.min_rows)
    }
    if shrank:
        raise DaysShrank(shrank)


def hold_back(
    table: SourceTable, verdicts: Verdicts, days: Mapping[dt.date, Digest], ref: str, run_id: str
) -> dict[dt.date, RowsHeldBack]:
    """Keep the new rows of `days` aside, good and quarantined, and return the error of each day.

    `days` says what is loaded of each.
    """
    loaded_at = dt.datetime.now(dt.UTC)
    raw, quarantine = lake_tables(table)
    windows = contiguous(days)
    found = {day: (there, verdicts.counts[day].good, _details(verdicts, day)) for day, there in days.items()}
    branch = hold(
        ref,
        raw.name,
        found,
        [
            [
                Replacement(raw, verdicts.good(window, run_id, loaded_at), window),
                Replacement(quarantine, verdicts.bad(window, run_id, loaded_at), window),
            ]
            for window in windows
        ],
        run_id,
    )
    errors: dict[dt.date, RowsHeldBack] = {}
    for window in windows:
        errors |= dict.fromkeys(window.days, _error(table, verdicts, window, days, ref, branch))
    return errors


def _details(verdicts: Verdicts, day: dt.date) -> dict[str, Any]:
    """Return the counts of a day; one that broke a fatal rule failed before, so there are none of these."""
    return {name: value for name, value in asdict(verdicts.counts[day]).items() if name != "fatal"}


def _error(
    table: SourceTable,
    verdicts: Verdicts,
    window: Window,
    days: Mapping[dt.date, Digest],
    ref: str,
    branch: str,
) -> RowsHeldBack:
    there, counts = sum(days[day].rows for day in window.days), [verdicts.counts[day] for day in window.days]
    now, bad = sum(found.good for found in counts), sum(found.bad for found in counts)
    text = f"{table.asset}, {window}: held back, the source now has {now:,} good rows, {there:,} are loaded"
    if bad:
        before = sum(_quarantined(ref, table, window).values())
        text += f" (quarantined: {bad:,} now, {before:,} before)"
    if len(window) > 1:
        listed = [f"{day} {days[day].rows:,} → {verdicts.counts[day].good:,}" for day in window.days[:_SHOWN]]
        more = f", and {len(window) - _SHOWN} more days" if len(window) > _SHOWN else ""
        text += f"; loaded → now: {', '.join(listed)}{more}"
    option = "--partition" if len(window) == 1 else "--range"
    return RowsHeldBack(
        text,
        unharmed=f"the {there:,} rows loaded before, which stay visible; the new rows are kept on branch"
        f" {branch} for {settings().branch_retention_days:g} days",
        next_step="if these rows are gone at the source for good,"
        f" `millpond sources accept {table.asset} {option} {window}{ref_option(ref)}` takes the smaller"
        " state; if not, load again when the source is complete",
    )


def _quarantined(ref: str, table: SourceTable, window: Window) -> Counter[dt.date]:
    if not read.exists(ref, table.quarantine_table):
        return Counter()
    found = read.scan(ref, table.quarantine_table, columns=[PARTITION_COLUMN], window=window)
    return Counter(found[PARTITION_COLUMN].to_pylist())
