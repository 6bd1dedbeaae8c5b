"""Reads the files of a table that hold rows of a window."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond.errors import FilesMissing, SourceError
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.files.columns import add_file_fields
from millpond.ingestion.files.contents import SourceFile
from millpond.ingestion.files.known import FileDays, note_loaded, read_known, record
from millpond.ingestion.files.pattern import Pattern
from millpond.ingestion.files.place import Entry, Place, open_place, to_source_error
from millpond.ingestion.files.spec import FileSet
from millpond.ingestion.reader import FetchResult, find_address, read_values
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.results import WHOLE
from millpond.ingestion.source_errors import add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window
from millpond.settings import Settings

_log = logging.getLogger(__name__)
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True)
class Chosen:
    """A file that is read, and the day that its name or its time says."""

    entry: Entry
    day: dt.date | None


@dataclass(frozen=True)
class FileReader:
    """Reads the files of a table; `values` are those of the connection's placeholders."""

    source: SourceSpec
    table: SourceTable
    values: Values
    configured: Settings
    url: str

    @classmethod
    def of(cls, source: SourceSpec, table: SourceTable, configured: Settings) -> FileReader:
        """Return the reader of `table`; raises ConfigError for what is not set."""
        values = read_values(source, configured)
        url = find_address(source, table, values, "data/drop or s3://bucket/drop", configured)
        return cls(source, table, values, configured, url)

    @property
    def host(self) -> str | None:
        """The server that is asked; None for a folder."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme not in {"", "file"} else None

    @property
    def files(self) -> FileSet:
        """What the spec says of the files."""
        assert self.table.files
        return self.table.files

    @cached_property
    def place(self) -> Place:
        """The folder; raises SourceUnreachable, ConfigError."""
        return open_place(self.source.source, self.url, self.configured)

    @cached_property
    def pattern(self) -> Pattern:
        """Which of its files are the table's."""
        return Pattern(self.files.path, self.files.date_format)

    def probe(self) -> None:
        """List the folder; raises a SourceError."""
        try:
            next(iter(self.place.entries(self.pattern.folder, 0)), None)
        except OSError as error:
            raise to_source_error(error, self.place.show(self.pattern.folder)) from None

    def find_files(self, zone: ZoneInfo, window: Window | None = None) -> list[Chosen]:
        """Return the table's files by day, then path. Raises a SourceError.

        Those whose names hold days that are not of a `window` are left out.
        """
        pattern, kind = self.pattern, self.files.days_from
        days = window if self._days_are_named else None

        def is_wanted(path: str) -> bool:
            day = pattern.day(path) if days else None
            return (days is None or day is None or day in days) and pattern.matches(path)

        try:
            entries = list(self.place.entries(pattern.folder, pattern.depth, is_wanted))
        except OSError as error:
            raise to_source_error(error, self.place.show(pattern.folder)) from None
        if kind == "data":
            return [Chosen(entry, None) for entry in sorted(entries, key=lambda entry: entry.path)]
        chosen: list[tuple[dt.date, Chosen]] = []
        for entry in entries:
            day = pattern.day(entry.path) if kind == "name" else entry.modified.astimezone(zone).date()
            if day is None:
                _log.warning(
                    "%s is left out: its name holds no date that exists", self.place.show(entry.path)
                )
                continue
            chosen.append((day, Chosen(entry, day)))
        return [each for _, each in sorted(chosen, key=lambda found: (found[0], found[1].entry.path))]

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows of the files that hold rows of `window`, staged in `folder`."""
        try:
            chosen = self.find_files(zone, window)
        except SourceError as error:
            failed: SourceError = add_place(error, f"{self.table.asset}, {window}")
            return self._result(StagedBatches(folder), [], window, dict.fromkeys(window.days, failed))
        listed, reads = [each.entry for each in chosen], self._select(chosen, window, zone)
        result = self.read(reads, window, folder)
        result.failed.update(self._missing(window, chosen))
        return replace(result, note_loaded=partial(self._note, listed, reads, result, window, zone))

    def read(self, chosen: Sequence[Chosen], window: Window, folder: Path) -> FetchResult:
        """Return the rows of files, staged in `folder`."""
        staged, fields = StagedBatches(folder, decoded=self.files.kind != "parquet"), set[str]()
        streams = [partial(self._rows, each, fields, window) for each in chosen]
        staged.take(streams, self.table.window.parallel)
        staged.names = sorted(fields) if self._is_json else staged.names
        failed_days: dict[dt.date, SourceError] = {}
        for number, ended in staged.errors.items():
            day = chosen[number].day
            failed_days |= dict.fromkeys([day] if day and self._by_day else window.days, ended)
        return self._result(staged, chosen, window, failed_days)

    @property
    def _is_json(self) -> bool:
        return self.files.kind in {"json", "jsonl"}

    def _select(self, chosen: Sequence[Chosen], window: Window, zone: ZoneInfo) -> list[Chosen]:
        """Return the files that may have rows of `window`: not those that are known to have none."""
        if self._by_day:
            return [each for each in chosen if each.day and each.day in window]
        if self.table.load != "days":
            return list(chosen)
        known, days = read_known(self.table, zone), set(window.days)
        return [
            each
            for each in chosen
            if (found := known.get(each.entry.path)) is None
            or found.version != each.entry.version
            or found.days is None
            or found.days & days
        ]

    def _note(
        self,
        listed: Sequence[Entry],
        reads: Sequence[Chosen],
        result: FetchResult,
        window: Window,
        zone: ZoneInfo,
        loaded: set[dt.date],
    ) -> None:
        if not result.errors:
            record(self.table, zone, self.days_of(reads, result.stream_days))
        versions = {entry.path: entry.version for entry in listed}

        def find_version(path: str) -> str | None:
            day = self.pattern.day(path) if self._days_are_named else None
            if day and day not in window and self.pattern.matches(path):  # it was not listed
                with suppress(OSError):
                    entry = self.place.look(path)
                    return entry.version if entry else None
            return versions.get(path)

        note_loaded(self.table, find_version, loaded)

    @property
    def _days_are_named(self) -> bool:
        """Whether a file's name says of which day all of its rows are."""
        return self.files.days_from == "name" and self.table.has_days

    def days_of(
        self, chosen: Sequence[Chosen], stream_days: Mapping[int, set[dt.date | None]]
    ) -> dict[Entry, FileDays]:
        """Return the days of the rows of files, `stream_days` where a listing does not say them."""
        found = {}
        for number, each in enumerate(chosen):
            days = {each.day} if self._by_day else stream_days.get(number, set())
            if not self.table.has_days:
                days = {WHOLE.start}
            dated = frozenset(day for day in days if day)
            found[each.entry] = FileDays(None if None in days else dated, dated)
        return found

    @property
    def days_are_listed(self) -> bool:
        """Whether a listing says for which days files are read."""
        return self._by_day or not self.table.has_days

    def is_stable(self, entry: Entry) -> bool:
        """Return whether a file has not changed for as long as the spec asks for."""
        age = dt.datetime.now(dt.UTC) - entry.modified
        return abs(age) >= self.files.stable_after

    @property
    def _by_day(self) -> bool:
        """Whether only the files of the days asked for are read."""
        return self.files.days_from != "data" and self.table.has_days

    def _result(
        self,
        staged: StagedBatches,
        chosen: Sequence[Chosen],
        window: Window,
        failed: dict[dt.date, SourceError],
    ) -> FetchResult:
        around = Window(window.start - _DAY, window.end + _DAY)
        spans = [Window.of_day(each.day) if each.day and self._by_day else around for each in chosen]
        return FetchResult(
            files=staged.files,
            held=staged.held,
            rows=staged.rows,
            pages=staged.pages,
            may_hold_nul=staged.may_hold_nul,
            streams=[span.start for span in spans],
            names=None if self._is_json else staged.names,
            fields=set(staged.names) if self.table.unknown_columns == "add" else set(),
            errors=list(staged.errors.values()),
            broken_streams=frozenset(staged.errors),
            failed=failed,
            other_days=self.table.load == "days" and not self._by_day,
            spans=spans,
            marked=self.files.kind != "parquet",
        )

    def _missing(self, window: Window, chosen: Sequence[Chosen]) -> Iterator[tuple[dt.date, SourceError]]:
        """Yield the days that no file is there for, unless the spec allows that in so many words."""
        if "allow_empty" in self.table.model_fields_set and self.table.allow_empty:
            return
        there = {each.day for each in chosen}
        whole = chosen and not self._by_day
        days = [] if whole else [day for day in window.days if day not in there]
        for day in days:
            what = self.pattern.path.replace("{date}", day.strftime(self.files.date_format))
            if not self._by_day:
                what = f"{what} at all"
            elif self.files.days_from == "modified":
                what = f"{what} was modified that day"
            yield (
                day,
                FilesMissing(
                    f"{self.table.asset}, {day}: no file {self.place.show(what)}",
                    unharmed="the day as it was loaded before; nothing of it was written",
                    next_step="load the day once the file is there, or set allow_empty: true in the spec"
                    " if a day without a file is a day without rows",
                ),
            )

    def _rows(self, chosen: Chosen, fields: set[str], window: Window) -> Iterator[pa.Table]:
        file = SourceFile(self.place, chosen.entry, self.table, self.configured.response_max_mb << 20)
        try:
            for rows in file.rows(fields):
                yield add_file_fields(rows, self.table, chosen.entry, chosen.day)
        except SourceError as error:
            raise add_place(error, f"{self.table.asset}, {chosen.day or window}") from None
