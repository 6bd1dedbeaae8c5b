"""Which columns of a query have a type of Trino's that no Iceberg table holds: Trino names the type alone."""

from __future__ import annotations

import re
from contextlib import suppress

from trino.exceptions import TrinoQueryError

from millpond.lake import trino

_UNFIT = re.compile(r'Type not supported for Iceberg: (?P<kind>[^"]+)"')
_QUERY = re.compile(r"^.*?\bas\s*\((?P<sql>.*)\)\s*$", re.DOTALL | re.IGNORECASE)
_INSTEAD = {"json": "json_format({0})", "time": "cast({0} as time), or cast({0} as varchar)"}


def columns_no_table_holds(statement: str, message: str) -> str:
    """Return what is wrong with a `create table … as (…)` that Trino refuses for a type; else nothing."""
    unfit, query = _UNFIT.search(message), _QUERY.match(statement)
    if not unfit or not query:
        return ""
    kind, columns = unfit["kind"], []
    with suppress(TrinoQueryError):
        cursor = trino.connection().cursor()
        cursor.execute(f"select * from (\n{query['sql']}\n) limit 0")  # noqa: S608
        cursor.fetchall()
        columns = [c[0] for c in cursor.description or () if kind.lower() in str(c[1]).lower()]
    if not columns:
        return ""
    instead = _INSTEAD.get(re.split(r"\W", kind)[0].lower(), "cast({0} as varchar)").format(columns[0])
    named = f"column {columns[0]} is" if len(columns) == 1 else f"columns {', '.join(columns)} are"
    return f"{named} {kind}, which no table of the lake can hold; write {instead}"
