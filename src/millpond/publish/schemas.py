"""The Postgres schema of a ref's marts: list them, drop them with the ref, retire one without a model."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql

from millpond.errors import PublishFailed
from millpond.naming import MAIN_REF, marts_schema
from millpond.publish.locks import acquire_publish_lock, held_error, retry_locked
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
            return held_error(connection, marts, schema, wait)

        acquire_publish_lock(connection, schema, f"millpond {os.getpid()} drops {schema}", refusal)
        marts += [f"{schema}.{name}" for (name,) in connection.execute(_TABLES, (schema,))]
        statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        retry_locked(lambda: connection.execute(statement), wait, refusal)
    return marts


def list_marts(ref: str) -> list[str]:
    """Return the names of the marts that `ref` has in Postgres."""
    with databases().marts_readonly.connect() as connection:
        return [name for (name,) in connection.execute(_TABLES, (marts_schema(ref),))]


def retire_mart(ref: str, name: str, new: str | None = None) -> None:
    """Drop a mart that no model publishes any more, or rename it to `new`, with its grants and views.

    Raises PublishFailed, and changes nothing, if views read it or others hold it locked.
    """
    schema, wait = marts_schema(ref), settings().lock_seconds
    table = sql.Identifier(schema, name)
    statement = sql.SQL("DROP TABLE {}").format(table)
    if new:
        statement = sql.SQL("ALTER TABLE {} RENAME TO {}").format(table, sql.Identifier(new))
    with databases().marts.connect(autocommit=True) as connection:

        def refusal() -> PublishFailed:
            return held_error(connection, [f"{schema}.{name}"], schema, wait)

        acquire_publish_lock(connection, schema, f"millpond {os.getpid()} retires {name}", refusal)
        try:
            retry_locked(lambda: connection.execute(statement), wait, refusal)
        except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.DuplicateTable) as error:
            raise PublishFailed(
                f"mart {schema}.{name} stays: {error.diag.message_primary}"
                + (f" ({error.diag.message_detail})" if error.diag.message_detail else ""),
                unharmed="the mart and its table in the lake",
                next_step="drop or change in Postgres what it names, then repeat the command",
            ) from error
