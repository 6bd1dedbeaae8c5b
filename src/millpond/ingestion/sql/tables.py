"""Finds a table in a database, and the columns of it that are read."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from millpond.errors import SourceRefused
from millpond.ingestion.source_errors import UNHARMED
from millpond.ingestion.spec import SourceTable

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def split_name(name: str) -> tuple[str | None, str]:
    """Return schema and table of `name`; parts in double quotes may hold dots."""
    parts = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(name)]
    return ".".join(parts[:-1]) or None, parts[-1]


def reflect_table(connection: sa.Connection, table: SourceTable, source: str) -> sa.Table:
    """Return the table or view that is read; raises SourceRefused, naming those with a similar name."""
    named = (table.sql.table if table.sql else None) or table.name
    schema, name = split_name(named)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # types unknown to it are read as text
        try:
            return sa.Table(
                quoted_name(name, quote=None),
                sa.MetaData(),
                schema=schema,
                autoload_with=connection,
                resolve_fks=False,
            )
        except sa.exc.NoSuchTableError:
            there = sa.inspect(connection)
            known = [*there.get_table_names(schema), *there.get_view_names(schema)]
    raise no_table(named, known, source)


def no_table(named: str, known: Sequence[str], source: str) -> SourceRefused:
    """Return the error for a table that the database does not have; it has those `known`."""
    near = difflib.get_close_matches(split_name(named)[1].lower(), [k.lower() for k in known], n=3)
    close = [k for k in known if k.lower() in near]
    has = ", ".join(sorted(known)[:10]) or "none that this account sees"
    return SourceRefused(
        f"the database has no table {named}"
        + (f"; there is {', '.join(close)}" if close else f"; it has {has}"),
        unharmed=UNHARMED,
        next_step=f'correct sql.table in sources/{source}.yaml; write a name with dots as shop."my.orders"',
    )


def chosen_columns(of: sa.Table, table: SourceTable) -> list[sa.Column[Any]]:
    """Return the columns to read: those that the spec declares, or all unless it ignores others."""
    if table.unknown_columns != "ignore":
        return list(of.c)
    wanted: set[str] = set()
    for name, column in table.columns.items():
        path = column.path(name)
        wanted |= {".".join(path[:depth]) for depth in range(1, len(path) + 1)}
    return [column for column in of.c if column.name in wanted]


def time_column(of: sa.Table, table: SourceTable, source: str) -> sa.Column[Any] | None:
    """Return the column by whose time rows are chosen; None if all rows are. Raises SourceRefused."""
    if table.load == "whole":
        return None
    name = table.changes.column if table.changes else table.event.column
    field = table.columns[name].field or name
    if field in of.c:
        return of.c[field]
    near = difflib.get_close_matches(field, of.c.keys(), n=1)
    raise SourceRefused(
        f"{of.name} has no column {field}; it has {', '.join(of.c.keys())}",
        unharmed=UNHARMED,
        next_step=(f"did you mean {near[0]}? " if near else "")
        + f"set `field:` of the column {name} in sources/{source}.yaml",
    )
