"""Blocks of a CSV file that Arrow may take apart, as it would find the very fields that Python's reader does.

A block is plain if quotes are where they belong and all records have the fields that they should have. What
is not is left to Python's reader, which says what is wrong with which line.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from millpond.ingestion.files.spec import Csv
from millpond.lake.pools import get_pool

_PIECE: Final = 1 << 15
"""Signs of the pieces in which a block that is not plain is tried again."""
_MOST_AT_ONCE: Final = 4
_ENDS: Final = (ord("\n"), ord("\r"))

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Taken = tuple[list[pa.Array], str]


class Blocks:
    """Blocks of whole lines, in order; what was read of one may be given back."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks, self._held = blocks, list[str]()
        self._failed: Exception | None = None

    def __iter__(self) -> Blocks:
        return self

    def __next__(self) -> str:
        if self._held:
            return self._held.pop()
        if self._failed:
            raise self._failed
        return next(self._blocks)

    def look_ahead(self) -> str:
        """Return the next block, blank if there is none; an error is raised when it is its turn."""
        try:
            return next(self, "")
        except Exception as error:  # noqa: BLE001 - raised later
            self._failed = error
            return ""

    def give_back(self, rest: str) -> None:
        """Have the next block begin with `rest`."""
        if rest:
            self._held.append(rest + next(self, ""))

    def put_back(self, blocks: Sequence[str]) -> None:
        """Have the next blocks be these."""
        self._held.extend(reversed(blocks))

    @staticmethod
    def is_divisible(block: str) -> bool:
        """Return whether a block is worth dividing."""
        return len(block) > 2 * _PIECE

    def divide(self, block: str) -> str:
        """Return the first piece of a block; the others come next."""
        pieces, start = list[str](), 0
        while start < len(block):
            end = block.find("\n", start + _PIECE) + 1 or len(block)
            pieces.append(block[start:end])
            start = end
        self._held.extend(reversed(pieces[1:]))
        return pieces[0]


class PlainRecords:
    """Takes plain blocks apart: records of `width` fields and of at most so many signs.

    The texts `nulls` mean no value.
    """

    def __init__(self, dialect: Csv, delimiter: str, width: int, most: int, nulls: Sequence[str]) -> None:
        self._most, self._quote = most, dialect.quote
        escape = dialect.escape if dialect.escape != dialect.quote else None
        doubled = dialect.quote * 2 if escape else None
        self._strange = [sign for sign in (dialect.comment, escape, doubled) if sign]
        self.possible = not dialect.skip_footer and (delimiter + dialect.quote).isascii()
        """Whether any block of this dialect is taken apart."""
        if not self.possible:
            return
        names = [str(place) for place in range(width)]
        self._before = np.array([*_ENDS, ord(delimiter)], np.uint8)
        self._names = names
        self._parse = csv.ParseOptions(
            delimiter=delimiter, quote_char=dialect.quote or False, newlines_in_values=True
        )
        self._convert = csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=nulls,
            strings_can_be_null=True,
        )

    def take_each(self, blocks: Blocks) -> Iterator[tuple[str, Taken | None]]:
        """Yield each block with what `take` returns of it; several at once while all are plain.

        When one is yielded that is not plain as a whole, the blocks after it are in `blocks` again.
        """
        most = min(_MOST_AT_ONCE, os.cpu_count() or 1)
        pool, begun, ahead = get_pool("csv", most), deque[tuple[str, Future[Taken | None] | None]](), 0
        while True:
            if not begun:
                if not (block := next(blocks, "")):
                    return
                begun.append((block, pool.submit(self.take, block) if ahead else None))
            while len(begun) <= ahead and (block := blocks.look_ahead()):
                begun.append((block, pool.submit(self.take, block)))
            block, future = begun.popleft()
            taken = future.result() if future else self.take(block)
            ahead = min(ahead + 1, most)
            if taken is None or taken[1]:
                blocks.put_back([later for later, _ in begun])
                begun.clear()
                ahead = 0
            yield block, taken

    def take(self, block: str) -> Taken | None:
        """Return the columns of a block, and the beginning of a record that it does not end.

        None if it is not plain.
        """
        if any(sign in block for sign in self._strange):
            return None
        try:
            body = block.encode()
        except UnicodeEncodeError:
            return None
        if b"\r" in body and body.count(b"\r") != body.count(b"\r\n"):
            return None
        size = self._find_end(body)
        if not size:
            return None
        read = csv.ReadOptions(use_threads=False, column_names=self._names, block_size=size + 1)
        try:
            found = csv.read_csv(pa.py_buffer(memoryview(body)[:size]), read, self._parse, self._convert)
        except pa.ArrowInvalid:
            return None
        columns = [c.chunk(0) if c.num_chunks == 1 else c.combine_chunks() for c in found.columns]
        return columns, body[size:].decode()

    def _find_end(self, body: bytes) -> int:
        """Return the size of the records that end within a block; 0 if they are not plain."""
        is_quoted = bool(self._quote) and self._quote.encode() in body
        if len(body) <= self._most and not is_quoted:
            return len(body)
        signs = np.frombuffer(body, np.uint8)
        quotes = np.flatnonzero(signs == ord(self._quote)) if is_quoted else np.zeros(0, np.int64)
        ends = np.flatnonzero(signs == _ENDS[0]) + 1
        if len(quotes) and not self._are_paired(signs, quotes):
            return 0
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if not len(quotes) % 2 and (not len(ends) or ends[-1] < len(body)):
            ends = np.append(ends, len(body))
        longest = int(np.diff(ends, prepend=0).max(initial=0))
        rest = len(body) - int(ends[-1]) if len(ends) else len(body)
        return int(ends[-1]) if len(ends) and max(longest, rest) <= self._most else 0

    def _are_paired(self, signs: Bytes, quotes: Places) -> bool:
        """Return whether each quote begins a field, ends one, or is one of two that stand for one."""
        opening, closing = quotes[::2], quotes[1::2]
        doubled = closing[: len(opening) - 1] + 1 == opening[1:]
        begins = (opening == 0) | np.isin(signs[opening - 1], self._before)
        after = closing + 1
        ends = (after == len(signs)) | np.isin(signs[np.minimum(after, len(signs) - 1)], self._before)
        begins[1:] |= doubled
        ends[: len(doubled)] |= doubled
        return bool(begins.all() and ends.all())
