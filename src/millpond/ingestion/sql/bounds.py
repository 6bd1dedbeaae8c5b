"""The condition that asks a database for the rows of a window, by the type of its time column."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from millpond.ingestion.spec import SourceTable
from millpond.ingestion.sql.arrow_rows import is_instant
from millpond.partitions import Window

_DAY = dt.timedelta(days=1)
_NUMBERS = ("integer", "real")


def select_window(
    query: Any, column: sa.Column[Any], table: SourceTable, window: Window, zone: ZoneInfo, dialect: str
) -> Any:
    """Return `query` with the condition for the rows of `window`, and perhaps some more.

    The contract decides which rows are the window's. So times that are text are asked for by the days
    around, as text is compared; where their form is no ISO 8601, all rows are. Rows without a time are not.
    """
    if table.columns[(table.changes or table.event).column].format:
        return query.where(column.is_not(None))
    if dialect == "sqlite":  # the type of its columns says nothing about their values
        return query.where(_of_sqlite(column, table, window, zone))
    begin, end = _bounds(column.type, table, window, zone)
    return query.where(column >= begin, column < end)


def without_time(column: sa.Column[Any], table: SourceTable, dialect: str) -> Any:
    """Return the condition for rows that no window asks for: without a time, or with text that is none."""
    missing = column.is_(None)
    asked = table.changes or table.event
    is_text = isinstance(column.type, sa.String) or dialect == "sqlite"
    if table.columns[asked.column].format or asked.unit in {"ms", "s"} or not is_text:
        return missing
    text = sa.type_coerce(column, sa.String)
    unreadable: Any = text.not_like("____-__-__%")
    if dialect == "sqlite":
        unreadable = sa.and_(sa.func.typeof(column) == "text", unreadable)
    return sa.or_(missing, unreadable)


def _of_sqlite(column: sa.Column[Any], table: SourceTable, window: Window, zone: ZoneInfo) -> Any:
    """Return the condition for values of the expected kind, or of another, which the contract judges."""
    begin, end = _bounds(sa.String(), table, window, zone)
    kind: Any = sa.Integer() if isinstance(begin, int) else sa.String()
    value = sa.type_coerce(column, kind)
    kinds = ("text",) if isinstance(begin, str) else _NUMBERS
    odd = sa.func.typeof(column).not_in([*kinds, "null"])
    return sa.or_(sa.and_(value >= begin, value < end), odd)


def _bounds(kind: Any, table: SourceTable, window: Window, zone: ZoneInfo) -> tuple[Any, Any]:
    start, end = table.ask(window, zone)
    unit = (table.changes or table.event).unit
    if unit in {"ms", "s"}:
        factor = 1000 if unit == "ms" else 1
        return int(start.timestamp()) * factor, int(end.timestamp()) * factor
    if isinstance(kind, sa.DateTime | sa.TIMESTAMP) and unit != "date":
        if getattr(kind, "timezone", False):
            return start, end
        of = zone if unit == "local" and not is_instant(kind) else dt.UTC
        start, end = (moment.astimezone(of).replace(tzinfo=None) for moment in (start, end))
        # the hour in which a clock goes back or forward may be told either way
        spare = dt.timedelta(hours=3) if unit == "local" else dt.timedelta(0)
        return start - spare, end + spare
    if isinstance(kind, sa.Date | sa.DateTime | sa.TIMESTAMP):
        first = window.start if unit == "date" else start.date() - _DAY
        last = window.end if unit == "date" else end.date() + 2 * _DAY
        if isinstance(kind, sa.Date):
            return first, last
        return dt.datetime.combine(first, dt.time()), dt.datetime.combine(last, dt.time())
    return str(start.date() - _DAY), str(end.date() + 2 * _DAY)
