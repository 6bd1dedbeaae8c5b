"""Taking rows that were held back: a person decided that the source has shrunk for good."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping

from millpond.errors import MillpondError, NothingHeld
from millpond.ingestion.refused import RefusedDays
from millpond.ingestion.results import LoadResult, PartitionResult
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts
from millpond.lake import read
from millpond.lake.hashing import Digest, Digests
from millpond.lake.held import Held, list_held, release
from millpond.lake.most_rows import MostRows
from millpond.lake.spec import Replacement
from millpond.lake.tables import Written, replace
from millpond.partitions import Window, contiguous


class _LoadedSince(Exception):
    """Days that do not hold any more what they held when their rows were held back."""

    def __init__(self, days: list[dt.date]) -> None:
        super().__init__(str(days))
        self.days = days


def accept_held(table: SourceTable, window: Window, *, ref: str, run_id: str) -> LoadResult:
    """Make each day of `window` hold the rows that were held back for it; no request is sent.

    A day fails with NothingHeld if nothing is held back for it, or if it was loaded since: those rows are
    newer.
    """
    began = time.perf_counter()
    waiting = {each.day: each for each in list_held(ref, table.raw_table, window)}
    failed: dict[dt.date, MillpondError] = {
        day: _nothing_error(table, day) for day in window.days if day not in waiting
    }
    written: dict[dt.date, Written] = {}
    left = [(b, days) for b in {each.branch for each in waiting.values()} for days in _days_on(waiting, b)]
    while left:
        branch, days = left.pop()
        try:
            written |= _take(table, days, branch, waiting, ref, run_id)
        except _LoadedSince as since:
            failed |= {day: _nothing_error(table, day, loaded_since=True) for day in since.days}
            release(ref, table.raw_table, since.days)
            left += [(branch, rest) for rest in contiguous(d for d in days.days if d not in since.days)]
    seconds = time.perf_counter() - began
    results = [_result(waiting[day], written[day], seconds / len(window)) for day in sorted(written)]
    return LoadResult(results, failed, seconds)


def _days_on(waiting: Mapping[dt.date, Held], branch: str) -> list[Window]:
    return contiguous(day for day, each in waiting.items() if each.branch == branch)


def _take(
    table: SourceTable, days: Window, branch: str, waiting: Mapping[dt.date, Held], ref: str, run_id: str
) -> dict[dt.date, Written]:
    def refuse_newer(before: Digests, after: Digests, _: MostRows) -> None:
        there = {day: before.get(day, Digest()) for day in days.days}
        differs = [day for day in there if there[day] != after.get(day, Digest())]
        if since := [day for day in differs if there[day].hex != waiting[day].loaded_hash]:
            raise _LoadedSince(since)

    raw, quarantine = lake_tables(table)
    written, *_ = replace(
        [
            Replacement(raw, read.scan(branch, raw.name, window=days), days, refuse_newer, "forget"),
            Replacement(quarantine, read.scan(branch, quarantine.name, window=days), days),
            *RefusedDays(table, ref, run_id, "").forget(days),
        ],
        ref=ref,
        run_id=run_id,
    )
    release(ref, raw.name, days.days)
    return dict.fromkeys(days.days, written)


def _result(taken: Held, written: Written, seconds: float) -> PartitionResult:
    return PartitionResult.of(taken.day, Counts(**taken.details), written, seconds)


def _nothing_error(table: SourceTable, day: dt.date, *, loaded_since: bool = False) -> NothingHeld:
    if loaded_since:
        return NothingHeld(
            f"{table.asset}, {day}: the day was loaded again after its rows were held back",
            unharmed="the day as it was loaded last; the rows that were held back are dropped",
            next_step="nothing, if the day is as it should be; else load it again",
        )
    return NothingHeld(
        f"{table.asset}, {day}: no rows are held back",
        unharmed="everything; nothing was written",
        next_step="`millpond sources held` lists the days that wait for a decision",
    )
