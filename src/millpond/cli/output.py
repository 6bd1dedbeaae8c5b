"""Rows to a table for people, or to JSON or CSV for machines."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import decimal
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text


def rows_as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the rows as a JSON list of objects; dates and times as ISO 8601, decimals as numbers."""
    sys.stdout.write(
        json.dumps(
            [dict(zip(columns, row, strict=True)) for row in rows],
            default=_plain,
            ensure_ascii=False,
            indent=2,
        )
    )
    sys.stdout.write("\n")


def as_json(value: Any) -> None:
    """Print any value as JSON, its dataclasses as objects."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def as_text(value: Any, style: str = "") -> Text:
    """Return a value as it stands in a table's cell; null is dim."""
    from rich.text import Text

    return Text("null", style="dim") if value is None else Text(_text(value), style=style)


def rows_as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the rows as CSV with a header; null is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if v is None else _text(v) for v in row] for row in rows])


def rows_as_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """Print the rows as a table; numbers stand to the right, null is dim."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(r[index], int | float | decimal.Decimal) for r in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(as_text, row))
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, list | dict):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
