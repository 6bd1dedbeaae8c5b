"""The condition that asks a database for the rows of a window, by the type of its time column."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from millpond.errors import SourceRefused
from millpond.ingestion.source_errors import UNHARMED
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window

_DAY = dt.timedelta(days=1)


def select_window(query: Any, of: sa.Table, table: SourceTable, window: Window, zone: ZoneInfo) -> Any:
    """Return `query` with the condition for the rows of `window`, and perhaps some more.

    The contract decides which rows are the window's. So times that are text are asked for by the days
    around, as text is compared; where their form is no ISO 8601, all rows are.
    """
    if table.load == "whole":
        return query
    name = table.changes.column if table.changes else table.event.column
    declared = table.columns[name]
    field = declared.field or name
    if field not in of.c:
        raise SourceRefused(
            f"{of.name} has no column {field}; it has {', '.join(of.c.keys())}",
            unharmed=UNHARMED,
            next_step=f"set `field:` of the column {name} in the spec",
        )
    if declared.format:
        return query
    column = of.c[field]
    begin, end = _bounds(column.type, table, window, zone)
    return query.where(column >= begin, column < end)


def _bounds(kind: Any, table: SourceTable, window: Window, zone: ZoneInfo) -> tuple[Any, Any]:
    start, end = table.ask(window, zone)
    unit = table.changes.unit if table.changes else table.event.unit
    if unit in {"ms", "s"}:
        factor = 1000 if unit == "ms" else 1
        return int(start.timestamp()) * factor, int(end.timestamp()) * factor
    if isinstance(kind, sa.DateTime | sa.TIMESTAMP) and unit != "date":
        if getattr(kind, "timezone", False):
            return start, end
        of = zone if unit == "local" else dt.UTC
        # one second more, as some databases keep times as text, with or without a fraction
        second = dt.timedelta(seconds=1)
        start, end = (moment.astimezone(of).replace(tzinfo=None) for moment in (start, end))
        return start - second, end + second
    if isinstance(kind, sa.Date | sa.DateTime | sa.TIMESTAMP):
        first = window.start if unit == "date" else start.date() - _DAY
        last = window.end if unit == "date" else end.date() + 2 * _DAY
        if isinstance(kind, sa.Date):
            return first, last
        return dt.datetime.combine(first, dt.time()), dt.datetime.combine(last, dt.time())
    return str(start.date() - _DAY), str(end.date() + 2 * _DAY)
