"""What is in a file: its rows, if it is whole and stays as it is while it is read."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import pyarrow as pa

from millpond.errors import SourceError, SourceMalformed, SourceUnreachable
from millpond.ingestion.files.delimited import read_csv
from millpond.ingestion.files.lines import BROKEN_ARCHIVE, decompress
from millpond.ingestion.files.place import Entry, Place, to_source_error
from millpond.ingestion.files.rows import read_excel, read_json, read_json_lines, read_parquet
from millpond.ingestion.files.spec import FileSet
from millpond.ingestion.source_errors import UNHARMED
from millpond.ingestion.spec import SourceTable
from millpond.redaction import excerpt

_LONGEST_WAIT: Final = 10.0


@dataclass(frozen=True)
class SourceFile:
    """A file that was listed in `place`, with rows of `table`; one read as a whole may have `most` bytes."""

    place: Place
    entry: Entry
    table: SourceTable
    most: int

    @property
    def files(self) -> FileSet:
        """What the spec says of the files."""
        assert self.table.files
        return self.table.files

    def rows(self, fields: set[str]) -> Iterator[pa.Table]:
        """Yield the rows; adds the names of fields of JSON rows to `fields`.

        Raises a SourceError that names the file, also if it changed since it was listed.
        """
        entry, shown = self.entry, self.place.show(self.entry.path)
        try:
            self._wait_until_stable()
            with self.place.open(entry.path) as stream:
                self._check_unchanged()
                yield from self._tables(decompress(stream, entry.path), fields)
            self._check_unchanged()
        except SourceError as error:
            found = error
        except BROKEN_ARCHIVE as error:
            found = SourceMalformed(f"it is cut off or damaged: {excerpt(str(error))}")
        except UnicodeError as error:
            found = SourceMalformed(f"it is not {self.files.encoding}: {excerpt(str(error))}")
        except OSError as error:
            raise to_source_error(error, shown) from None
        else:
            return
        advice = found.next_step or "see what is in the file, and have it written again; then repeat the load"
        raise type(found)(f"{shown}: {found.what}", unharmed=found.unharmed or UNHARMED, next_step=advice)

    def _tables(self, stream: BinaryIO, fields: set[str]) -> Iterator[pa.Table]:
        files, table = self.files, self.table
        if files.kind == "csv":
            return read_csv(stream, files.encoding, files.csv, table)
        if files.kind == "jsonl":
            return read_json_lines(stream, files.encoding, table, fields)
        if files.kind == "json":
            return read_json(stream, files.encoding, files.data_selector, self.most, fields)
        return read_parquet(stream) if files.kind == "parquet" else read_excel(stream, files.sheet, self.most)

    def _wait_until_stable(self) -> None:
        """Return once the file is old enough to be whole; raises SourceUnreachable if that takes long."""
        needed = self.files.stable_after.total_seconds()
        age = (dt.datetime.now(dt.UTC) - self.entry.modified).total_seconds()
        left = min(needed - age, needed)
        if left > _LONGEST_WAIT:
            raise SourceUnreachable(
                f"it was modified {max(age, 0):.0f} s ago and may not be whole yet (stable_after:"
                f" {needed:.0f} s)",
                next_step=f"repeat the load in {left:.0f} s",
            )
        if left > 0:
            time.sleep(left)

    def _check_unchanged(self) -> None:
        now = self.place.look(self.entry.path)
        if now is None:
            raise FileNotFoundError(self.entry.path)
        if now.version != self.entry.version:
            raise SourceUnreachable(
                "it is being written: it changed after it had been listed",
                next_step="repeat the load once the file is whole",
            )
