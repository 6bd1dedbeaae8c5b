"""The rows of a day in the marts, read from Postgres with the role that only reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, sql

from millpond.naming import MAIN_REF, marts_schema
from millpond.publish.spec import MartSpec
from millpond.runtime.databases import databases
from millpond.transform.sensitive import HIDDEN

_MOST_ROWS: Final = 100
_SECONDS: Final = 30


@dataclass(frozen=True)
class MartRows:
    """The rows of a mart of a day: `total` of them, of which the first 100 are in `rows`.

    `published` is false if the mart is not in Postgres yet. Values of sensitive columns are hidden.
    """

    name: str
    published: bool
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    total: int = 0


def read_mart_rows(
    marts: Iterable[MartSpec], day: dt.date, sensitive: Mapping[str, frozenset[str]]
) -> list[MartRows]:
    """Return the rows of `day` of each mart that has a date in its key, by name.

    `sensitive` are the hidden columns by asset key of the mart.
    """
    schema, found = marts_schema(MAIN_REF), []
    with databases().marts_readonly.connect() as connection:
        connection.execute(f"SET statement_timeout = '{_SECONDS}s'")
        for mart in sorted(marts, key=lambda each: each.name):
            types = _read_types(connection, schema, mart.name)
            if not types:
                found.append(MartRows(mart.name, published=False))
            elif date := next((name for name in mart.declared.key if types.get(name) == "date"), None):
                hidden = sensitive.get(f"marts/{mart.name}", frozenset())
                found.append(_read(connection, schema, mart, date, day, tuple(types), hidden))
    return found


def _read(
    connection: Connection[Any],
    schema: str,
    mart: MartSpec,
    date: str,
    day: dt.date,
    columns: tuple[str, ...],
    hidden: frozenset[str],
) -> MartRows:
    table, condition = sql.Identifier(schema, mart.name), sql.Identifier(date)
    shown = [sql.Literal(HIDDEN) if name in hidden else sql.Identifier(name) for name in columns]
    total = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(table, condition), (day,)
    ).fetchone()
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE {} = %s ORDER BY {} LIMIT {}").format(
            sql.SQL(", ").join(shown),
            table,
            condition,
            sql.SQL(", ").join(sql.Identifier(schema, mart.name, name) for name in mart.declared.key),
            sql.Literal(_MOST_ROWS),
        ),
        (day,),
    ).fetchall()
    return MartRows(mart.name, True, columns, tuple(map(tuple, rows)), total[0] if total else 0)


def _read_types(connection: Connection[Any], schema: str, name: str) -> dict[str, str]:
    """Return the types of a mart's columns in their order; none if it is not there."""
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, name),
    )
    return dict(rows.fetchall())
