"""Databases and accounts that tests make in the embedded Postgres, as the owner of a source would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from millpond.runtime.databases import connect_superuser, databases
from millpond.runtime.home import layout
from millpond.runtime.postmaster import find_server
from millpond.settings import settings


@contextmanager
def scratch_database(name: str, role: str, password: str) -> Iterator[tuple[psycopg.Connection[Any], int]]:
    """Yield a superuser's connection to a new database, in autocommit mode, and the port of its server.

    `role` is an account that may connect and reads no table yet. Both are gone afterwards.
    """
    databases()  # starts the embedded Postgres
    folders = layout(settings())
    server = find_server(folders)
    assert server
    database, account = sql.Identifier(name), sql.Identifier(role)
    drop = (
        sql.SQL("drop database if exists {} with (force)").format(database),
        sql.SQL("drop role if exists {}").format(account),
    )
    with connect_superuser(folders, server, "postgres") as admin:
        admin.autocommit = True
        for statement in drop:
            admin.execute(statement)
        admin.execute(sql.SQL("create database {}").format(database))
        admin.execute(sql.SQL("create role {} login password {}").format(account, sql.Literal(password)))
        try:
            with connect_superuser(folders, server, name) as connection:
                connection.autocommit = True
                yield connection, server.port
        finally:
            for statement in drop:
                admin.execute(statement)
