"""The Postgres schema of a ref's marts, when the ref is gone."""

from __future__ import annotations

from psycopg import sql

from millpond.errors import PublishFailed
from millpond.naming import MAIN_REF, marts_schema
from millpond.runtime.databases import databases


def drop_marts(ref: str) -> list[str]:
    """Drop the marts of a branch that was merged or dropped, with their schema and all views on them.

    Returns the marts, `<schema>.<name>`; none if the branch had published none.
    """
    if ref == MAIN_REF:
        raise PublishFailed("the marts of main are not dropped", unharmed="all of them")
    schema = marts_schema(ref)
    with databases().marts.connect() as connection:
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY 1",
            (schema,),
        ).fetchall()
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    return [f"{schema}.{name}" for (name,) in found]
