"""Prints a table of rows while they come: the first ones say how wide its columns are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from millpond.cli import output
from millpond.cli.output import MOST_OF_A_TEXT, find_least_width, may_break, share_width

if TYPE_CHECKING:
    from rich.text import Text


def print_parts_as_table(columns: Sequence[str], parts: Iterable[Sequence[Sequence[Any]]]) -> int:
    """Print the rows of all parts as a table, each part before the next but one is asked for.

    Returns how many rows there were. A part that needs wider columns begins the table again, with a header;
    where the terminal is too narrow for it, it and what follows are lines of `column value`.
    """
    remaining = iter(parts)
    first = next(remaining, [])
    second = next(remaining, None)
    if second is None:
        output.print_rows_as_table(columns, first)
        return len(first)
    table, number = _LongTable(columns, output.find_numeric(columns, first)), 0
    for part in chain((first, second), remaining):
        table.add([[*map(output.format_cell, row)] for row in part])
        number += len(part)
    table.end()
    return number


class _LongTable:
    """A table whose last line is printed once it is known to be the last."""

    def __init__(self, columns: Sequence[str], right: Collection[str]) -> None:
        self._columns, self._right = columns, right
        self._widths: list[int] = []
        self._last_line = ""
        self._vertical = False

    def add(self, rows: Sequence[Sequence[Text]]) -> None:
        """Print rows."""
        from rich.text import Text

        cells = [[Text(name), *(row[index] for row in rows)] for index, name in enumerate(self._columns)]
        wraps = [any(may_break(cell.plain) for cell in column[1:]) for column in cells]
        least = [
            find_least_width(column, wraps=True) if wrap else _measure(column)
            for column, wrap in zip(cells, wraps, strict=True)
        ]
        fits = all(small <= wide for small, wide in zip(least, self._widths, strict=False))
        begins = not self._widths or not fits
        if begins and not self._vertical:
            self.end()
            self._widths = self._choose_widths(cells, wraps, least)
            self._vertical = not self._widths
        elif self._vertical:
            sys.stdout.write("\n")
        if self._vertical:
            output.print_vertically(self._columns, rows)
        else:
            self._print(rows, wraps, with_header=begins)

    def end(self) -> None:
        """Print the last line."""
        sys.stdout.write(self._last_line)
        self._last_line = ""

    def _choose_widths(
        self, cells: Sequence[Sequence[Text]], wraps: Sequence[bool], least: Sequence[int]
    ) -> list[int]:
        """Return the widths that columns need, as far as there is room; none if there is too little."""
        if (width := output.get_terminal_width()) is not None:
            spare = width - sum(least) - 3 * len(least) - 1
            return share_width(cells, least, spare) if spare >= 0 else []
        before = self._widths or [0] * len(least)
        return [
            max(known, smallest, min(_measure(column), MOST_OF_A_TEXT if wrap else smallest))
            for column, wrap, smallest, known in zip(cells, wraps, least, before, strict=True)
        ]

    def _print(self, rows: Sequence[Sequence[Text]], wraps: Sequence[bool], *, with_header: bool) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold", show_header=with_header)
        for name, wrap, width in zip(self._columns, wraps, self._widths, strict=True):
            side: Literal["left", "right"] = "right" if name in self._right else "left"
            table.add_column(Text(name), justify=side, no_wrap=not wrap, width=width, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console = output.make_console()
        with console.capture() as captured:
            console.print(table)
        lines = captured.get().removesuffix("\n").split("\n")
        self._last_line = f"{lines.pop()}\n"
        sys.stdout.write("\n".join(lines if with_header else lines[1:]) + "\n")


def _measure(column: Sequence[Text]) -> int:
    return max(line.cell_len for cell in column for line in cell.split())
