"""`millpond sql` with the profile scale: Trino reads lake tables, Postgres marts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from trino.exceptions import TrinoQueryError

from millpond.errors import QueryRefused
from millpond.lake import trino
from millpond.naming import LAYERS, marts_schema, quoted, ref_option
from millpond.runtime.databases import databases

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_READS = re.compile(r"\(*\s*(select|with|values|table|show|describe|explain(?!\s+analyze))\b", re.IGNORECASE)
_LAKE = re.compile(rf'(?:from|join)\s+(?:lake\.)?"?(?:{"|".join(LAYERS)})"?\s*\.', re.IGNORECASE)
_MARTS = re.compile(r'(?:from|join)\s+"?marts"?\s*\.', re.IGNORECASE)


def run_query(
    query: str, ref: str, parameters: Sequence[object] = ()
) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """Return the column names and rows of one read-only statement.

    Trino reads each table as it is on the ref when the statement starts. Raises QueryRefused with the message
    of the server that refused it.
    """
    bare = _COMMENTS.sub(" ", query).strip()
    if not _READS.match(bare):
        raise QueryRefused(
            "millpond sql runs one read-only statement",
            unharmed="nothing was changed",
            next_step="give a single SELECT; only assets change data",
        )
    if _MARTS.search(bare):
        if _LAKE.search(bare):
            raise QueryRefused(
                "with the profile scale one query reads the lake or the marts, not both",
                next_step="read the mart's gold table instead: gold.<mart> has the same rows",
            )
        return _run_on_postgres(query, ref)
    trino.connect(ref)
    try:
        return trino.run_query(query.rstrip().rstrip(";"), ref, parameters)
    except TrinoQueryError as error:
        advice = "`millpond tables` lists the lake's tables and their names"
        raise QueryRefused(f"Trino: {error.message}", next_step=advice) from error


def _run_on_postgres(query: str, ref: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
    with databases().marts_readonly.connect() as connection:
        named = re.sub(r'(?<![\w."])"?marts"?\s*\.', f"{quoted(marts_schema(ref))}.", query)
        try:
            cursor = connection.execute(named.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()
        except psycopg.Error as error:
            raise QueryRefused(
                f"Postgres: {error.diag.message_primary or error}",
                next_step=f"if the marts of {ref} are not published yet:"
                f" `millpond materialize group:marts{ref_option(ref)}`",
            ) from error
