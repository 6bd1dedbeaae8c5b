"""Reads the files of a table that hold rows of a window."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond.errors import ConfigError, FilesMissing, SourceError, SourceMalformed, SourceUnreachable
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.files.columns import add_file_fields
from millpond.ingestion.files.delimited import read_csv
from millpond.ingestion.files.lines import BROKEN_ARCHIVE, decompress
from millpond.ingestion.files.pattern import Pattern
from millpond.ingestion.files.place import Entry, Place, open_place, to_source_error
from millpond.ingestion.files.rows import read_excel, read_json, read_json_lines, read_parquet
from millpond.ingestion.files.spec import FileSet
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.source_errors import UNHARMED, add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window
from millpond.redaction import excerpt
from millpond.settings import Settings, variable

_log = logging.getLogger(__name__)
_DAY: Final = dt.timedelta(days=1)
_LONGEST_WAIT: Final = 10.0


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
        found = configured.source(source.source)
        token = found.token.get_secret_value() if found.token else None
        values = placeholders.connection(found.url, found.user, token)
        url = fill(source.location, values)
        if url is None:
            raise ConfigError(
                f"{variable('url', source.source)} is not set, and {table.asset} needs it",
                next_step=f"set {variable('url', source.source)} in the environment or in .env, for example"
                " to data/drop or s3://bucket/drop",
            )
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

    def find_files(self, zone: ZoneInfo) -> list[Chosen]:
        """Return the table's files by day, then path. Raises a SourceError."""
        pattern, kind = self.pattern, self.files.days_from
        try:
            entries = [
                e for e in self.place.entries(pattern.folder, pattern.depth) if pattern.matches(e.path)
            ]
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
            chosen = self.find_files(zone)
        except SourceError as error:
            failed: SourceError = add_place(error, f"{self.table.asset}, {window}")
            return self._result(StagedBatches(folder), [], window, dict.fromkeys(window.days, failed))
        if self._by_day:
            chosen = [each for each in chosen if each.day and each.day in window]
        staged, fields = StagedBatches(folder), set[str]()
        streams = [partial(self._rows, each, fields, window) for each in chosen]
        staged.take(streams, self.table.window.parallel)
        staged.names = sorted(fields) if self._is_json else staged.names
        failed_days: dict[dt.date, SourceError] = dict(self._missing(window, chosen))
        for number, ended in staged.errors.items():
            day = chosen[number].day
            failed_days |= dict.fromkeys([day] if day and self._by_day else window.days, ended)
        return self._result(staged, chosen, window, failed_days)

    @property
    def _is_json(self) -> bool:
        return self.files.kind in {"json", "jsonl"}

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
            rows=staged.rows,
            pages=staged.pages,
            streams=[span.start for span in spans],
            names=None if self._is_json else staged.names,
            fields=set(staged.names) if self.table.unknown_columns == "add" else set(),
            errors=list(staged.errors.values()),
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
        entry, shown = chosen.entry, self.place.show(chosen.entry.path)
        try:
            self._wait_until_stable(entry)
            with self.place.open(entry.path) as stream:
                self._check_unchanged(entry)
                for rows in self._tables(decompress(stream, entry.path), fields):
                    yield add_file_fields(rows, self.table, entry, chosen.day)
            self._check_unchanged(entry)
        except SourceError as error:
            found = error
        except BROKEN_ARCHIVE as error:
            found = SourceMalformed(f"it is cut off or damaged: {excerpt(str(error))}")
        except UnicodeError as error:
            found = SourceMalformed(f"it is not {self.files.encoding}: {excerpt(str(error))}")
        except OSError as error:
            raise add_place(to_source_error(error, shown), self._where(chosen, window)) from None
        else:
            return
        advice = found.next_step or "see what is in the file, and have it written again; then repeat the load"
        named = type(found)(f"{shown}: {found.what}", unharmed=found.unharmed or UNHARMED, next_step=advice)
        raise add_place(named, self._where(chosen, window))

    def _where(self, chosen: Chosen, window: Window) -> str:
        return f"{self.table.asset}, {chosen.day or window}"

    def _tables(self, stream: BinaryIO, fields: set[str]) -> Iterator[pa.Table]:
        files, table = self.files, self.table
        if files.kind == "csv":
            return read_csv(stream, files.encoding, files.csv, table)
        if files.kind == "jsonl":
            return read_json_lines(stream, files.encoding, table, fields)
        if files.kind == "json":
            most = self.configured.response_max_mb << 20
            return read_json(stream, files.encoding, files.data_selector, most, fields)
        return read_parquet(stream) if files.kind == "parquet" else read_excel(stream, files.sheet)

    def _wait_until_stable(self, entry: Entry) -> None:
        """Return once a file is old enough to be whole; raises SourceUnreachable if that takes long."""
        needed = self.files.stable_after.total_seconds()
        age = (dt.datetime.now(dt.UTC) - entry.modified).total_seconds()
        left = min(needed - age, needed)
        if left > _LONGEST_WAIT:
            raise SourceUnreachable(
                f"it was modified {max(age, 0):.0f} s ago and may not be whole yet (stable_after:"
                f" {needed:.0f} s)",
                next_step=f"repeat the load in {left:.0f} s",
            )
        if left > 0:
            time.sleep(left)

    def _check_unchanged(self, entry: Entry) -> None:
        now = self.place.look(entry.path)
        if now is None:
            raise FileNotFoundError(entry.path)
        if now.version != entry.version:
            raise SourceUnreachable(
                "it is being written: it changed while it was read",
                next_step="repeat the load once the file is whole",
            )
