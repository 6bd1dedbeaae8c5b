"""What makes the home of a test process empty while its Postgres keeps running."""

from __future__ import annotations

from typing import Any

import psycopg

from millpond.naming import LAYERS, MAIN_REF
from millpond.runtime.databases import connect_superuser
from millpond.runtime.home import Home
from millpond.runtime.postmaster import Server

_EMPTIED = """
DO $$
DECLARE name text;
BEGIN
    PERFORM set_config('lock_timeout', '10s', true), set_config('session_replication_role', 'replica', true);
    FOR name IN
        SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
          AND tablename NOT IN ('alembic_version', 'secondary_indexes', 'instance_info', 'migrations')
    LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END $$
"""
_LAKE_EMPTIED = f"""{_EMPTIED};
INSERT INTO catalog.lake_refs (name) VALUES ('{MAIN_REF}');
INSERT INTO catalog.iceberg_namespace_properties
    SELECT '{MAIN_REF}', layer, 'exists', 'true' FROM unnest(ARRAY{list(LAYERS)}) AS layer
"""
_MARTS_EMPTIED = """
DO $$
DECLARE name text;
BEGIN
    PERFORM set_config('lock_timeout', '10s', true);
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspowner = 'millpond_marts'::regrole LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    SET LOCAL ROLE millpond_marts;
    CREATE SCHEMA marts;
END $$
"""


def empty(home: Home, server: Server, connections: dict[tuple[object, str], psycopg.Connection[Any]]) -> None:
    """Delete the rows of lake, ops and Dagster, and the marts; `connections` are added to and stay open.

    The server does not wait for the disk from then on: a process that is killed loses nothing by that.
    """
    for database, statement in (("lake", _LAKE_EMPTIED), ("dagster", _EMPTIED), ("marts", _MARTS_EMPTIED)):
        key = (server, database)
        if key in connections and not _is_open(connections[key]):
            connections.pop(key).close()
        if key not in connections:
            connections[key] = connect_superuser(home, server, database)
            connections[key].autocommit = True
            connections[key].execute("ALTER SYSTEM SET fsync = off")
            connections[key].execute("SELECT pg_reload_conf()")
        connections[key].execute(statement)


def is_reached(server: Server, connections: dict[tuple[object, str], psycopg.Connection[Any]]) -> bool:
    """Return whether a server was emptied before and runs since."""
    return (server, "lake") in connections and _is_open(connections[server, "lake"])


def _is_open(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a connection works: the server ends all of them when a session is killed."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
