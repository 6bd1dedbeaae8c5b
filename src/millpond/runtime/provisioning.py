"""Roles, their passwords, databases, schemas and grants; each role has access to its own data only."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from pydantic import SecretStr

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home
from millpond.runtime.migrations.migrate import SCHEMAS, is_current

SUPERUSER = "postgres"
ROLES = ("millpond_dagster", "millpond_catalog", "millpond_ops", "millpond_marts", "millpond_read")


def read_passwords(home: Home) -> dict[str, SecretStr]:
    """Return the password of each role of the home's Postgres; they are generated if there is no server yet.

    Raises EmbeddedPartError if the file is missing or invalid although there is data.
    """
    path = home.postgres / "passwords.json"
    if not path.exists() and not (home.postgres / "data").exists():
        drawn = {role: secrets.token_urlsafe(32) for role in (SUPERUSER, *ROLES)}
        unfinished = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(drawn, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    try:
        return {role: SecretStr(password) for role, password in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise EmbeddedPartError(
            f"the passwords of the embedded Postgres cannot be read from {path}: {error}",
            unharmed="the data",
            next_step=f"restore {path.name} from a backup; the user that runs Millpond must own it",
        ) from error


Connect = Callable[[str], "psycopg.Connection[Any]"]
"""Connects the administrator to a database."""

_OWNERS = {"dagster": "millpond_dagster", "lake": None, "marts": None}
"""The owner of each database; None is the administrator."""
_MAINTENANCE = "postgres"
"""The database that every server has; access to it is revoked on the embedded server only."""

_KEEP_LARGE_OBJECTS: LiteralString = """
DO $$
DECLARE writes regprocedure;
BEGIN
    FOR writes IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
        AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_import', 'lo_export',
            'lowrite', 'lo_truncate', 'lo_truncate64', 'lo_unlink')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', writes);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'roles can still make large objects: only a superuser can keep them from it';
END $$
"""
"""Large objects belong to no schema, so that every role that can connect could create some."""

_STATEMENTS: dict[str, tuple[LiteralString, ...]] = {
    "postgres": ("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC",),
    "dagster": (
        "REVOKE ALL ON DATABASE dagster FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    ),
    "lake": (
        "REVOKE ALL ON DATABASE lake FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT CONNECT, TEMPORARY ON DATABASE lake TO millpond_catalog, millpond_ops",
        "CREATE SCHEMA IF NOT EXISTS catalog AUTHORIZATION millpond_catalog",
        "CREATE SCHEMA IF NOT EXISTS ops AUTHORIZATION millpond_ops",
        "ALTER ROLE millpond_catalog IN DATABASE lake SET search_path = catalog",
        "ALTER ROLE millpond_ops IN DATABASE lake SET search_path = ops",
    ),
    "marts": (
        "REVOKE ALL ON DATABASE marts FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT CONNECT, TEMPORARY, CREATE ON DATABASE marts TO millpond_marts",
        "GRANT CONNECT ON DATABASE marts TO millpond_read",
        # New tables of the publisher, in schema marts or marts_<ref>, are readable at once.
        "ALTER DEFAULT PRIVILEGES FOR ROLE millpond_marts GRANT USAGE ON SCHEMAS TO millpond_read",
        "ALTER DEFAULT PRIVILEGES FOR ROLE millpond_marts GRANT SELECT ON TABLES TO millpond_read",
        "CREATE SCHEMA IF NOT EXISTS marts AUTHORIZATION millpond_marts",
        "GRANT USAGE ON SCHEMA marts TO millpond_read",
        "GRANT SELECT ON ALL TABLES IN SCHEMA marts TO millpond_read",
        "ALTER ROLE millpond_marts IN DATABASE marts SET search_path = marts",
        "ALTER ROLE millpond_read IN DATABASE marts SET search_path = marts",
        "ALTER ROLE millpond_read SET default_transaction_read_only = on",
        _KEEP_LARGE_OBJECTS,
    ),
}


def is_provisioned(data: Path, marker: Path) -> bool:
    """Return whether `marker` records this release's roles, databases and grants for folder `data`."""
    return marker.exists() and marker.read_text() == _hash_version(data)


def mark_provisioned(data: Path, marker: Path) -> None:
    """Record in `marker` that folder `data` has this release's roles, databases and grants."""
    marker.write_text(_hash_version(data))


def provision(connect: Connect, passwords: Mapping[str, SecretStr], *, shared: bool) -> list[str]:
    """Create or update the roles, databases, schemas and grants of this release; idempotent.

    On a `shared` server, only our own databases are changed. Returns the databases that were created. Raises
    HomeTooNew, and changes nothing, if a newer release did this.
    """
    with connect(_MAINTENANCE) as connection:
        connection.autocommit = True
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        if "lake" in there:
            _refuse_newer(connect)
        _create_roles(connection, passwords)
        missing = [database for database in _OWNERS if database not in there]
        for database in missing:
            owner = sql.Identifier(_OWNERS[database] or connection.info.user)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), owner))
    for database, statements in _STATEMENTS.items():
        if shared and database == _MAINTENANCE:
            continue
        with connect(database) as connection:
            for statement in statements:
                connection.execute(statement)
    return missing


def _refuse_newer(connect: Connect) -> None:
    with connect("lake") as connection:
        for schema in SCHEMAS:
            connection.execute("SELECT set_config('search_path', %s, false)", (schema,))
            connection.commit()
            with suppress(psycopg.errors.InsufficientPrivilege):
                is_current(connection)
                continue
            connection.rollback()


def _create_roles(connection: psycopg.Connection[Any], passwords: Mapping[str, SecretStr]) -> None:
    for role in ROLES:
        _create_role(connection, role, passwords[role])


def _create_role(connection: psycopg.Connection[Any], role: str, password: SecretStr) -> None:
    there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    (is_superuser,) = connection.execute("SHOW is_superuser").fetchone() or ("off",)
    verifier = connection.pgconn.encrypt_password(
        password.get_secret_value().encode(), role.encode(), b"scram-sha-256"
    )
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL("ALTER" if there else "CREATE"), sql.Identifier(role), sql.Literal(verifier.decode())
        )
    )
    if is_superuser != "on":  # a role without superuser rights may only grant what it is a member of
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


SUPERSET = "superset"
_SUPERSET_ROLE = "millpond_superset"


def provision_superset(connect: Connect, password: SecretStr) -> None:
    """Create or update Superset's role, and the database that is all it can reach; idempotent."""
    with connect(_MAINTENANCE) as connection:
        connection.autocommit = True
        _create_role(connection, _SUPERSET_ROLE, password)
        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        if not connection.execute(known, (SUPERSET,)).fetchone():
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(statement.format(sql.Identifier(SUPERSET), sql.Identifier(_SUPERSET_ROLE)))
        connection.execute("REVOKE ALL ON DATABASE superset FROM PUBLIC")


def _hash_version(data: Path) -> str:
    cluster = (data / "PG_VERSION").stat()
    wanted = (ROLES, _OWNERS, _STATEMENTS, cluster.st_ino, cluster.st_mtime_ns)
    return hashlib.sha256(repr(wanted).encode()).hexdigest()
