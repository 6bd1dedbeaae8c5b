"""The records of a CSV file as Python's own reader takes them apart, and what is wrong with the others."""

from __future__ import annotations

import csv
import io
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from millpond.ingestion.files.blocks import Blocks
from millpond.ingestion.files.lines import TextLines, printable
from millpond.ingestion.files.spec import Csv

csv.field_size_limit(sys.maxsize)  # lines are limited, by the spec's max_row_bytes


@dataclass(frozen=True)
class Row:
    """A record: its fields, or the text of its first line and why it is none."""

    fields: list[str]
    line: str = ""
    reason: str = ""


class Records:
    """The records of a CSV file. After one that is none, reading goes on at its second line."""

    def __init__(self, lines: TextLines, dialect: Csv, delimiter: str) -> None:
        self._lines, self._most, self._again = lines, lines.most, list[str]()
        self._source = _without_last(lines, dialect.skip_footer) if dialect.skip_footer else iter(lines)
        self.blocks = Blocks(iter(()))
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

    def go_by_blocks(self) -> None:
        """Have the next records be those of blocks given to `open`; one may go on in the next block."""
        self._source, self.blocks = iter(()), Blocks(self._lines.blocks())

    def open(self, block: str) -> None:
        """Have the next records be those of `block`."""
        self._source = self._lines.cut_lines(io.StringIO(block, newline=""))

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
            while held and not line and (block := next(self.blocks, "")):
                self.open(block)
                line = next(self._source, "")
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
