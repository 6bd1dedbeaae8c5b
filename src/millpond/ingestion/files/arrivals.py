"""Which files of a table are new or changed, and the days that are to be loaded for that."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from millpond.ingestion.files import known
from millpond.ingestion.files.known import FileDays, Known
from millpond.ingestion.files.reader import Chosen, FileReader
from millpond.ingestion.guard import Guard
from millpond.ingestion.results import WHOLE
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.staging import open_staging_folder
from millpond.ingestion.validation import validate_rows
from millpond.partitions import Window, contiguous, today
from millpond.settings import settings

_MOST_RUNS = 20
_BYTES_AT_ONCE = 256 << 20
"""Files are read to find their days, where neither name nor time says them: so much in one look."""


@dataclass(frozen=True)
class Arrivals:
    """The windows to load, of how many files; `digest` tells these versions from all others."""

    windows: list[Window]
    files: int
    tick: int
    digest: str = ""


def find_arrivals(source: SourceSpec, table: SourceTable, before: int) -> Arrivals:
    """Return the days to load for files that no look up to number `before` asked for.

    A file that was loaded already, as it is now, asks for nothing. What this look asks for is noted under the
    next number; unless that is given as `before` the next time, the same is asked for again. Files that may
    still be written are left for a later look. Raises a SourceError, ConfigError.
    """
    configured, zone = settings(), settings().zone
    reader = FileReader.of(source, table, configured)
    Guard(reader).admit()
    every = reader.find_files(zone)
    listed = [each for each in every if reader.is_stable(each.entry)]
    there = known.read_known(table, zone)
    known.note_listed(table, there, [each.entry.path for each in every])
    fresh = [each for each in listed if _is_new(each, there)]
    if fresh:
        _record(reader, fresh, zone)
        there = known.read_known(table, zone)
    last, first = today(zone), configured.start_date
    due = {}
    for each in listed:
        found = there.get(each.entry.path)
        if found and found.version == each.entry.version:
            days = {day for day in found.due if first <= day <= last or day == WHOLE.start}
            if days:
                due[each.entry.path] = (found, days)
    again = {path: each for path, each in due.items() if each[0].tick is not None and each[0].tick > before}
    if again:
        return _arrivals(again, before)
    chosen: dict[str, tuple[Known, set[dt.date]]] = {}
    so_far: set[dt.date] = set()
    for path, (found, days) in sorted(due.items(), key=lambda item: (min(item[1][1]), item[0])):
        if found.tick is None:
            if chosen and not days <= so_far and len(contiguous(so_far | days)) > _MOST_RUNS:
                break
            chosen[path] = (found, days)
            so_far |= days
    if not chosen:
        return Arrivals([], 0, before)
    known.claim(table, list(chosen), before + 1)
    return _arrivals(chosen, before)


def _arrivals(chosen: dict[str, tuple[Known, set[dt.date]]], before: int) -> Arrivals:
    text = " ".join(f"{path} {found.version}" for path, (found, _) in sorted(chosen.items()))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    days = {day for _, some in chosen.values() for day in some}
    return Arrivals(list(contiguous(sorted(days))), len(chosen), before + 1, digest)


def _is_new(each: Chosen, there: dict[str, Known]) -> bool:
    found = there.get(each.entry.path)
    return found is None or found.version != each.entry.version


def _record(reader: FileReader, fresh: Sequence[Chosen], zone: ZoneInfo) -> None:
    """Note new versions and the days of their rows; those that cannot be read are due today, which fails."""
    table, now = reader.table, today(zone)
    if reader.days_are_listed:
        known.record(table, zone, reader.days_of(fresh, {}))
        return
    part: list[Chosen] = []
    size = 0
    for each in fresh:
        if part and size + each.entry.size > _BYTES_AT_ONCE:
            break
        part.append(each)
        size += each.entry.size
    window = Window.of_day(now)
    with open_staging_folder(reader.configured.staging, f"{table.name}-files") as folder:
        result = reader.read(part, window, folder)
        with validate_rows(table, result, window, zone, {}, folder / "judged"):
            found = reader.days_of(part, result.stream_days)
    for number in result.broken_streams:
        found[part[number].entry] = FileDays(None, frozenset({now}))
    known.record(table, zone, found)
