"""One query on lake tables and marts by their short names: in DuckDB, or with the profile scale in Trino."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import duckdb

from millpond.errors import QueryRefused
from millpond.lake import duck
from millpond.lake.ref_log import find_moment
from millpond.naming import marts_schema, ref_option
from millpond.settings import settings


def run_query(
    query: str, ref: str | None = None, parameters: Sequence[object] = (), *, at: str | None = None
) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """Return the column names and rows of one SELECT, on the lake as it was `at` a commit or a time.

    Raises QueryRefused with the engine's message for SQL that cannot be run; RefRefused for an unknown `at`.
    """
    ref = ref or settings().ref
    if settings().scale and at:
        raise QueryRefused(
            "--at reads with DuckDB, and the profile scale queries with Trino",
            unharmed="everything; nothing was read",
            next_step="ask Trino for a version: `… from lake.gold.TABLE for timestamp as of timestamp '…'`",
        )
    if settings().scale:
        from millpond.cli import query_trino

        return query_trino.run_query(query, ref, parameters)
    with duck.connect_with_marts(ref, at=_find_moment(ref, at)) as connection:
        try:
            statements = duckdb.extract_statements(query)
            if len(statements) != 1 or statements[0].type not in _READING:
                raise QueryRefused(
                    "millpond sql runs one read-only statement",
                    unharmed="nothing was changed",
                    next_step="give a single SELECT; only assets change data",
                )
            cursor = connection.execute(statements[0], parameters)
            return [c[0] for c in cursor.description or []], cursor.fetchall()
        except duckdb.Error as error:
            raise QueryRefused(
                str(error).strip(),
                unharmed="everything; nothing was changed",
                next_step=_advise(str(error), query, ref),
            ) from error


def _find_moment(ref: str, at: str | None) -> dt.datetime | None:
    """Return the time that `at` gives, or that of the commit whose id it begins."""
    if at is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        return find_moment(ref, at)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _advise(message: str, query: str, ref: str) -> str:
    if f'schema "{marts_schema(ref)}" does not exist' in message:
        return f"publish the marts of {ref}: `millpond materialize group:marts{ref_option(ref)}`"
    if message.startswith("Parser Error"):
        return "give a single SELECT in DuckDB's SQL"
    missing = _NO_TABLE.search(message)
    if missing and re.search(rf'\bmarts"?\."?{re.escape(missing[1])}\b', query):
        return f"publish it: `millpond materialize marts/{missing[1]}{ref_option(ref)}`"
    return "`millpond tables` lists the lake's tables and their names"


_NO_TABLE = re.compile(r"Table with name (\w+) does not exist")
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
