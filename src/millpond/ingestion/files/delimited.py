"""The rows of a CSV file as texts; what cannot be taken apart is kept, with the reason.

Python's own reader is used: unlike DuckDB's and Arrow's it says which line is to blame and goes on after it.
"""

from __future__ import annotations

import csv
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from millpond.errors import SourceMalformed
from millpond.ingestion.batches import BROKEN, LINE
from millpond.ingestion.columns import is_numeric
from millpond.ingestion.files.lines import TextLines, is_decoded, printable
from millpond.ingestion.files.spec import Csv
from millpond.ingestion.spec import SourceTable

ROWS_AT_ONCE: Final = 20_000
_SIGNS_AT_ONCE: Final = 32 << 20
_DELIMITERS: Final = (",", ";", "\t", "|")
_THOUSANDS: Final = r"^\s*([+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?)\s*$"
csv.field_size_limit(sys.maxsize)  # lines are limited, by the spec's max_row_bytes


@dataclass(frozen=True)
class Row:
    """A record: its fields, or the text of its first line and why it is none."""

    fields: list[str]
    line: str = ""
    reason: str = ""


class _Records:
    """The records of a CSV file. After one that is none, reading goes on at its second line."""

    def __init__(self, lines: TextLines, dialect: Csv, delimiter: str) -> None:
        self._most, self._again = lines.most, list[str]()
        self._source = _without_last(lines, dialect.skip_footer) if dialect.skip_footer else iter(lines)
        self._comment, self._held, self._held_size = dialect.comment, list[str](), 0
        self.size = 0
        """Signs of all records so far."""
        self._options: dict[str, Any] = {
            "delimiter": delimiter,
            "quotechar": dialect.quote or None,
            "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            "escapechar": dialect.escape if dialect.escape != dialect.quote else None,
            "doublequote": dialect.escape in {None, dialect.quote},
            "strict": True,
        }

    def head(self, first: str, keep: bool) -> Row:
        """Return the record that begins with the line `first`; with `keep` it is read again."""
        self._again.append(first)
        row = next(self.read(None))
        if keep:
            self._again += reversed(self._held)
        self._forget()
        return row

    def read(self, width: int | None) -> Iterator[Row]:
        """Yield the records, which should have `width` fields; blank lines are none."""
        while True:
            reader = csv.reader(self._feed(), **self._options)
            try:
                for fields in reader:
                    if len(fields) == width or (width is None and fields):
                        yield Row(fields)
                    elif fields:
                        yield self._blame(f"row has {len(fields)} fields, not {width}")
                        break
                    self._forget()
                else:
                    return
            except _TooLong:
                is_line = len(self._held) == 1
                yield self._blame(f"row is larger than {self._most} bytes" if is_line else _UNCLOSED)
            except csv.Error as error:
                yield self._blame(_UNCLOSED if "end of data" in str(error) else f"row is not CSV: {error}")

    def _feed(self) -> Iterator[str]:
        held, comment, most = self._held, self._comment, self._most
        while True:
            line = self._again.pop() if self._again else next(self._source, "")
            if not line:
                return
            if comment and not held and line.startswith(comment):
                continue
            held.append(line)
            self._held_size += len(line)
            if self._held_size > most:
                raise _TooLong
            yield line

    def _blame(self, reason: str) -> Row:
        first, *others = self._held
        self._again += reversed(others)
        self._held_size = len(first)
        self._forget()
        return Row([], printable(first).rstrip("\r\n"), reason)

    def _forget(self) -> None:
        self.size += self._held_size
        self._held_size = 0
        self._held.clear()


def _without_last(lines: Iterable[str], number: int) -> Iterator[str]:
    """Yield `lines` up to the last `number` that are not blank."""
    held, filled = deque[str](), 0
    for line in lines:
        held.append(line)
        filled += bool(line.strip())
        while filled > number:
            first = held.popleft()
            filled -= bool(first.strip())
            yield first


class _TooLong(Exception):
    """A record has more signs than a row may have."""


_UNCLOSED: Final = "row has a quote that is not closed"


def read_csv(stream: BinaryIO, encoding: str, dialect: Csv, table: SourceTable) -> Iterator[pa.Table]:
    """Yield the rows of a CSV file as texts, with the columns LINE and BROKEN. Raises SourceMalformed."""
    lines = TextLines(stream, encoding, table.quarantine.max_row_bytes, "")
    feed = iter(lines)
    for _ in range(dialect.skip):
        next(feed, None)
    first = next((line for line in feed if not _is_blank(line, dialect)), None)
    if first is None:
        if dialect.header and not ("allow_empty" in table.model_fields_set and table.allow_empty):
            raise SourceMalformed(
                "it is empty: the line that names its columns is missing",
                next_step="see whether it is whole; if it is, set allow_empty: true in the spec",
            )
        return
    wanted = {column.path(name)[0] for name, column in table.columns.items()}
    records = _Records(lines, dialect, dialect.delimiter or _find_delimiter(first, dialect, wanted))
    head = records.head(first, keep=not dialect.header)
    if head.reason or not is_decoded("".join(head.fields)):
        raise SourceMalformed(
            f"its first line cannot be read: {head.reason or f'it is not {lines.encoding}'}",
            next_step="set encoding and csv of its files in the spec",
        )
    yield from _Columns(_names(head.fields, dialect), dialect, table, lines.encoding).batches(records)


class _Columns:
    """Turns records into columns of texts."""

    def __init__(self, names: Sequence[str], dialect: Csv, table: SourceTable, encoding: str) -> None:
        self._names, self._encoding = names, encoding
        self._nulls = pa.array(["", *dialect.null], pa.string())
        numbers = {c.path(n)[0] for n, c in table.columns.items() if is_numeric(c.type)}
        self._commas = numbers if dialect.decimal == "," else set()

    def batches(self, records: _Records) -> Iterator[pa.Table]:
        good: list[list[str]] = []
        bad: list[tuple[int, str, str]] = []
        before = 0
        for row in records.read(len(self._names)):
            if row.reason:
                bad.append((len(good) + len(bad), row.line, row.reason))
            else:
                good.append(row.fields)
            if len(good) + len(bad) == ROWS_AT_ONCE or records.size - before > _SIGNS_AT_ONCE:
                yield self._table(good, bad)
                good, bad, before = [], [], records.size
        if good or bad:
            yield self._table(good, bad)

    def _table(self, good: list[list[str]], bad: list[tuple[int, str, str]]) -> pa.Table:
        try:
            columns = [pa.array(values, pa.string()) for values in zip(*good, strict=True)]
        except UnicodeEncodeError:
            return self._without_undecoded(good, bad)
        columns = columns or [pa.array([], pa.string()) for _ in self._names]
        arrays = {name: self._clean(name, each) for name, each in zip(self._names, columns, strict=True)}
        arrays = {name: each for name, each in arrays.items() if name}
        if bad:
            places = _places(len(good) + len(bad), [place for place, *_ in bad])
            arrays = {name: each.take(places) for name, each in arrays.items()}
        for mark, at in ((LINE, 1), (BROKEN, 2)):
            texts: list[str | None] = [None] * (len(good) + len(bad))
            for row in bad:
                texts[row[0]] = row[at]  # type: ignore[assignment]
            arrays[mark] = pa.array(texts, pa.string())
        return pa.table(arrays)

    def _without_undecoded(self, good: list[list[str]], bad: list[tuple[int, str, str]]) -> pa.Table:
        """Return the table in which rows that are not all of the encoding are bad."""
        reason, taken = f"row is not {self._encoding}", {place for place, *_ in bad}
        kept, places = [], (place for place in range(len(good) + len(bad)) if place not in taken)
        for place, fields in zip(places, good, strict=True):
            if is_decoded("".join(fields)):
                kept.append(fields)
            else:
                bad.append((place, printable(",".join(fields)), reason))
        return self._table(kept, sorted(bad))

    def _clean(self, name: str, values: pa.Array) -> pa.Array:
        values = pc.if_else(pc.is_in(values, self._nulls), None, values)
        if name in self._commas:
            whole = pc.match_substring_regex(values, _THOUSANDS)
            values = pc.if_else(whole, pc.replace_substring(values, ".", ""), values)
            values = pc.replace_substring(pc.replace_substring(values, ".", "\0"), ",", ".")
            values = pc.replace_substring(values, "\0", ",")
        return values


def _places(rows: int, bad: list[int]) -> pa.Array:
    """Return which good row is at each place, null where a bad one is."""
    skipped, good = set(bad), iter(range(rows))
    return pa.array([None if place in skipped else next(good) for place in range(rows)], pa.int64())


def _is_blank(line: str, dialect: Csv) -> bool:
    return not line.strip("\r\n") or (dialect.comment is not None and line.startswith(dialect.comment))


def _find_delimiter(first: str, dialect: Csv, wanted: set[str]) -> str:
    """Return the delimiter under which the first line has most of the `wanted` names, then most fields."""

    def rank(delimiter: str) -> tuple[int, int]:
        quoting = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
        options: dict[str, Any] = {"delimiter": delimiter, **quoting}
        found = next(csv.reader([first], **options))
        return len(wanted.intersection(name.strip() for name in found)), len(found)

    return max(_DELIMITERS, key=rank)


def _names(fields: Sequence[str], dialect: Csv) -> list[str]:
    """Return the distinct names of the columns; a column without a name has one by its number."""
    if not dialect.header:
        return [f"column{number}" for number, _ in enumerate(fields, 1)]
    names: list[str] = []
    for number, field in enumerate(fields, 1):
        name = base = field.strip().replace("\0", "") or f"column{number}"
        again = 0
        while name in names:
            again += 1
            name = f"{base}_{again}"
        names.append(name)
    return names
