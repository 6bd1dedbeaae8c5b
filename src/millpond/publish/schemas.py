"""The Postgres schema of a ref's marts, when the ref is gone."""

from __future__ import annotations

import os

from psycopg import sql

from millpond.errors import PublishFailed
from millpond.naming import MAIN_REF, marts_schema
from millpond.publish.waiting import held_by_others, locked, wait_for_turn
from millpond.runtime.databases import databases
from millpond.settings import settings

_TABLES = (
    "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY 1"
)


def drop_marts(ref: str) -> list[str]:
    """Drop the marts of a branch that was merged or dropped, with their schema and all views on them.

    Waits for a publish under way; a later one finds no branch. Returns the marts, `<schema>.<name>`; none if
    the branch had published none. Raises PublishFailed if others hold them locked.
    """
    if ref == MAIN_REF:
        raise PublishFailed("the marts of main are not dropped", unharmed="all of them")
    schema, wait = marts_schema(ref), settings().lock_seconds
    marts: list[str] = []
    with databases().marts.connect(autocommit=True) as connection:

        def refusal() -> PublishFailed:
            return held_by_others(connection, marts, schema, wait)

        wait_for_turn(connection, schema, f"millpond {os.getpid()} drops {schema}", refusal)
        marts += [f"{schema}.{name}" for (name,) in connection.execute(_TABLES, (schema,))]
        statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        locked(lambda: connection.execute(statement), wait, refusal)
    return marts
