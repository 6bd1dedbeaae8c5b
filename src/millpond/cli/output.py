"""Prints rows as a table for people, or as JSON or CSV for machines."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import decimal
import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from millpond.runtime.ending import discard

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def print_rows_as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the rows as a JSON list of objects; dates and times as ISO 8601, decimals as numbers."""
    separator = "[\n  "
    for row in rows:
        text = _format_json(dict(zip(columns, row, strict=True)))
        sys.stdout.write(separator + text.replace("\n", "\n  "))
        separator = ",\n  "
    sys.stdout.write("[]\n" if separator[0] == "[" else "\n]\n")


@contextmanager
def spare_stdout() -> Iterator[None]:
    """Have all that is written to standard output in the block appear on standard error: JSON follows it."""
    try:
        kept = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:  # it is closed
        yield
        return
    sys.stdout.flush()
    try:
        os.dup2(2, 1)
    except OSError:  # it is closed
        discard(1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def print_json(value: Any) -> None:
    """Print any value as JSON, its dataclasses as objects."""
    sys.stdout.write(_format_json(value) + "\n")


def _format_json(value: Any) -> str:
    return json.dumps(value, default=_to_json_value, ensure_ascii=False, indent=2)


def format_cell(value: Any, style: str = "") -> Text:
    """Return a value as a table cell; null is dim."""
    from rich.text import Text

    return (
        Text("null", style="dim") if value is None else Text(show_controls(_format_value(value)), style=style)
    )


def show_controls(text: str) -> str:
    """Return `text` with what controls a terminal written out, such as `\\x1b`; lines and tabs stay."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_rows_as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the rows as CSV with a header; null is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if v is None else _format_value(v) for v in row] for row in rows)


def print_rows_as_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print the rows as a table; numbers are right-aligned, null is dim. See `print_table`."""
    cells = [[*map(format_cell, row)] for row in rows]
    print_table(columns, cells, title=title, right=find_numeric(columns, rows))


def find_numeric(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> set[str]:
    """Return the columns that have a number in a row."""
    return {
        name
        for index, name in enumerate(columns)
        if any(isinstance(row[index], int | float | decimal.Decimal) for row in rows)
    }


def print_fitting_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], dispensable: Sequence[str]
) -> list[str]:
    """Print the rows as a table, a line each, without those `dispensable` columns that do not fit.

    The first of them go first; returns the names of those left out. In a file all are there.
    """
    width, shown, omitted = get_terminal_width(), list(range(len(columns))), list[str]()
    texts = [[name, *(str(row[index]) for row in rows)] for index, name in enumerate(columns)]
    widths = [max(map(len, column)) + 3 for column in texts]
    for name in dispensable:
        if width is None or sum(widths[index] for index in shown) + 1 <= width:
            break
        shown.remove(columns.index(name))
        omitted.append(name)
    print_rows_as_table(
        [columns[index] for index in shown], [[row[index] for index in shown] for row in rows]
    )
    return omitted


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    *,
    title: str | None = None,
    right: Collection[str] = (),
    plain: bool = False,
) -> None:
    """Print the rows as a table if the terminal is wide enough, else each row as lines of `column value`.

    Lines wrap only between words: no date, name or address is cut. In a file, where nothing else wraps,
    texts of more than 100 characters do. `plain` omits the frame.
    """
    from rich.table import Table
    from rich.text import Text

    width = get_terminal_width()
    cells = [[Text(name), *(row[index] for row in rows)] for index, name in enumerate(columns)]
    wraps = [any(may_break(cell.plain) for cell in column[1:]) for column in cells]
    least = [find_least_width(column, wrap) for column, wrap in zip(cells, wraps, strict=True)]
    frame = 2 * len(columns) if plain else 3 * len(columns) + 1
    if width and sum(least) + frame > width:
        print_vertically(columns, rows, title)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    if plain:
        table.box, table.padding = None, (0, 2, 0, 0)
    exact = share_width(cells, least, width - frame - sum(least)) if width else [None] * len(columns)
    for name, wrap, smallest, fixed in zip(columns, wraps, least, exact, strict=True):
        side: Literal["left", "right"] = "right" if name in right else "left"
        most = max(smallest, MOST_OF_A_TEXT) if wrap and not width else None
        table.add_column(
            Text(name),
            justify=side,
            no_wrap=not wrap,
            width=fixed,
            min_width=smallest,
            max_width=most,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    make_console().print(table)


def get_terminal_width() -> int | None:
    """Return COLUMNS if it is set, else the columns of the terminal; None for a file or a program."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return shutil.get_terminal_size((0, 0)).columns or None


def print_text(text: str) -> None:
    """Print a sentence, wrapped between words at the terminal's width."""
    make_console().print(show_controls(text), markup=False)


def wrap_error(text: str, width: int) -> str:
    """Return a text of several lines, each wrapped between words at `width`, with a hanging indent.

    What stands in backticks stays together, and a word longer than a line is left to the terminal, so that
    commands and addresses can be copied. A line with a mark below it (`^`) stays as it is.
    """
    from rich.cells import cell_len

    lines, wrapped = text.splitlines(), []
    for line, below in zip(lines, [*lines[1:], ""], strict=False):
        if cell_len(line) <= width or below.strip() == "^":
            wrapped.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        current = indent
        for word in _WORDS.findall(line):
            if current.strip() and cell_len(current) + cell_len(word) >= width:
                wrapped.append(current)
                current = f"{indent}    "
            current += f" {word}" if current.strip() else word
        wrapped.append(current)
    return "\n".join(wrapped)


def make_console() -> Console:
    """Return the console for lines of text: they wrap at the terminal's width, and not at all in a file."""
    from rich.console import Console

    return Console(width=get_terminal_width() or _ENDLESS, highlight=False)


_WORDS = re.compile(r"(?:`[^`]*`|\S)+")
_ENDLESS = 10_000
_ENOUGH_FOR_PROSE = 16
MOST_OF_A_TEXT = 100
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\S*( [A-Z]+)?")


def may_break(text: str) -> bool:
    """Return whether a text may go on in another line: it has several words, and is no moment."""
    return " " in text and not _MOMENT.fullmatch(text)


def find_least_width(column: Sequence[Text], wraps: bool) -> int:
    """Return the smallest width in which no word of a column is cut."""
    lines = [cell.plain for cell in column]
    whole = max(len(line) for text in lines for line in text.splitlines() or [""])
    if not wraps:
        return whole
    longest = max(len(word) for text in lines for word in text.split() or [""])
    return max(longest, min(whole, _ENOUGH_FOR_PROSE))


def share_width(cells: Sequence[Sequence[Text]], least: Sequence[int], spare: int) -> list[int]:
    """Return the widths of columns: the narrowest that wraps gets spare width first.

    Rich only considers the longest column; another may get less than its longest word.
    """
    wanted = [max(line.cell_len for cell in column for line in cell.split()) for column in cells]
    widths = list(least)
    for _ in range(spare):
        short = [n for n, wide in enumerate(widths) if wide < wanted[n]]
        if not short:
            break
        widths[min(short, key=lambda n: widths[n])] += 1
    return widths


def print_vertically(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], title: str | None = None
) -> None:
    """Print each row as lines of `column value`."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=_ENDLESS, highlight=False, soft_wrap=True)
    indent = max(map(len, columns)) + 2
    room = max((get_terminal_width() or _ENDLESS) - indent, _ENOUGH_FOR_PROSE)
    if title:
        console.print(Text(title, style="bold"))
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, value in zip(columns, row, strict=True):
            longest = max((len(word) for word in value.plain.split()), default=0)
            lines = value.wrap(console, max(room, longest)) if may_break(value.plain) else [value]
            for line_number, line in enumerate(lines or [value]):
                line.rstrip()
                label = "" if line_number else name
                console.print(Text.assemble((label.ljust(indent), "bold"), line))


def _format_value(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, list | dict):
        return json.dumps(value, default=_to_json_value, ensure_ascii=False)
    return str(value)


def _to_json_value(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
