"""The rows of a CSV file as texts; what cannot be taken apart is kept, with the reason.

Arrow reads what is plain, in blocks. All else is read by Python's own reader: unlike DuckDB's and Arrow's it
says which line is to blame and goes on after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from millpond.errors import SourceMalformed
from millpond.ingestion.batches import BROKEN, LINE
from millpond.ingestion.columns import is_numeric
from millpond.ingestion.files.blocks import PlainRecords
from millpond.ingestion.files.lines import TextLines, is_decoded, printable
from millpond.ingestion.files.records import Records
from millpond.ingestion.files.spec import Csv
from millpond.ingestion.spec import SourceTable

ROWS_AT_ONCE: Final = 20_000
_SIGNS_AT_ONCE: Final = 32 << 20
_DELIMITERS: Final = (",", ";", "\t", "|")
_THOUSANDS: Final = r"^\s*([+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?)\s*$"


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
    delimiter = dialect.delimiter or _find_delimiter(first, dialect, wanted)
    records = Records(lines, dialect, delimiter)
    head = records.head(first, keep=not dialect.header)
    if head.reason or not is_decoded("".join(head.fields)):
        raise SourceMalformed(
            f"its first line cannot be read: {head.reason or f'it is not {lines.encoding}'}",
            next_step="set encoding and csv of its files in the spec",
        )
    columns = _Columns(_names(head.fields, dialect), dialect, table, lines.encoding)
    plain = PlainRecords(dialect, delimiter, len(head.fields), lines.most, columns.nulls)
    yield from _gather(_read_records(records, plain, columns))


def _read_records(records: Records, plain: PlainRecords, columns: _Columns) -> Iterator[pa.Table]:
    if plain.possible:
        records.go_by_blocks()
    yield from columns.batches(records)
    for block, taken in plain.take_each(records.blocks):
        if taken is None and records.blocks.is_divisible(block):
            block = records.blocks.divide(block)
            taken = plain.take(block)
        if taken is None:
            records.open(block)
            yield from columns.batches(records)
        else:
            values, rest = taken
            records.blocks.give_back(rest)
            yield columns.table(values)


def _gather(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    held, rows, size = list[pa.Table](), 0, 0
    for table in tables:
        held.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= ROWS_AT_ONCE or size > _SIGNS_AT_ONCE:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


class _Columns:
    """Turns records into columns of texts."""

    def __init__(self, names: Sequence[str], dialect: Csv, table: SourceTable, encoding: str) -> None:
        self._names, self._encoding = names, encoding
        self.nulls = ["", *dialect.null]
        numbers = {c.path(n)[0] for n, c in table.columns.items() if is_numeric(c.type)}
        self._commas = numbers if dialect.decimal == "," else set()

    def batches(self, records: Records) -> Iterator[pa.Table]:
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

    def table(self, columns: Sequence[pa.Array]) -> pa.Table:
        """Return good rows with these texts, null where there is no value."""
        found = {n: self._clean(n, each) for n, each in zip(self._names, columns, strict=True) if n}
        marks = pa.nulls(len(columns[0]), pa.string())
        return pa.table({**found, LINE: marks, BROKEN: marks})

    def _table(self, good: list[list[str]], bad: list[tuple[int, str, str]]) -> pa.Table:
        try:
            columns = [pa.array(values, pa.string()) for values in zip(*good, strict=True)]
        except UnicodeEncodeError:
            return self._without_undecoded(good, bad)
        columns = columns or [pa.array([], pa.string()) for _ in self._names]
        nulls = pa.array(self.nulls, pa.string())
        found = self.table([pc.if_else(pc.is_in(each, nulls), None, each) for each in columns])
        if not bad:
            return found
        found = found.take(_places(len(good) + len(bad), [place for place, *_ in bad]))
        for mark, at in ((LINE, 1), (BROKEN, 2)):
            texts: list[str | None] = [None] * (len(good) + len(bad))
            for row in bad:
                texts[row[0]] = row[at]  # type: ignore[assignment]
            found = found.set_column(found.column_names.index(mark), mark, pa.array(texts, pa.string()))
        return found

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
