"""The databases of this installation, each with its own role.

The embedded server starts on demand; under the profile scale, Millpond only connects to yours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from pydantic import SecretStr

from millpond.errors import EmbeddedPartError, ServerUnreachable
from millpond.redaction import register
from millpond.runtime import postgres
from millpond.runtime.home import Home, exclusive, layout
from millpond.runtime.migrations.migrate import SCHEMAS, is_current, migrate
from millpond.runtime.postmaster import Server, data_folder, find_server
from millpond.runtime.provisioning import (
    SUPERUSER,
    is_provisioned,
    mark_provisioned,
    provision,
    read_passwords,
)
from millpond.settings import Settings, settings

_LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 10.0
_PASSING = (
    *("refused", "too many clients", "slots are reserved", "closed the"),
    *("starting up", "shutting down", "in recovery mode", "not yet accepting"),
)
"""Parts of error messages after which a retry may succeed; the server's messages are in English."""


@dataclass(frozen=True)
class Database:
    """A database as one role sees it."""

    key: str
    name: str
    role: str
    password: SecretStr
    port: int
    search_path: str
    host: str = _LOOPBACK
    sslmode: str = "disable"

    @property
    def uri(self) -> SecretStr:
        """The URI for libpq, psycopg and DuckDB, `postgresql://…`, including the password."""
        return SecretStr(self._address("postgresql"))

    @property
    def uri_for_others(self) -> SecretStr:
        """The same for other programs, which name themselves to the server, and not as this process."""
        return SecretStr(self._address("postgresql", named=False))

    @property
    def sqlalchemy_uri(self) -> SecretStr:
        """The URI for SQLAlchemy with psycopg 3, including the password."""
        return SecretStr(self._address("postgresql+psycopg"))

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a new connection to a schema of this release's version.

        Starts the embedded server if it does not run; waits up to 10 seconds for a free connection. The first
        connection of a process checks the schema's version and migrates an older home. Raises
        EmbeddedPartError or, for your own server, ServerUnreachable if it cannot connect; HomeTooNew,
        HomeTooOld and MigrationFailed.
        """
        database, connection = self._connect(options)
        if database.key in SCHEMAS and database not in current_databases:
            try:
                if not is_current(connection):
                    _migrate()
            except BaseException:
                connection.close()
                raise
            current_databases.add(database)
        return connection

    def connect_as_it_is(self) -> psycopg.Connection[Any]:
        """Return a new connection in autocommit mode, without a check of the schema's version."""
        return self._connect({"autocommit": True})[1]

    def _connect(self, options: Mapping[str, Any]) -> tuple[Database, psycopg.Connection[Any]]:
        deadline = time.monotonic() + _CONNECT_SECONDS
        database, pause = self, 0.02
        while True:
            try:
                return database, psycopg.connect(database.uri.get_secret_value(), **options)
            except psycopg.OperationalError as error:
                passing = database.port != self.port or any(text in str(error) for text in _PASSING)
                if not passing or time.monotonic() > deadline:
                    raise _connection_error(database, error) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
            database = getattr(databases(), self.key)

    def _address(self, scheme: str, *, named: bool = True) -> str:
        parameters = {
            **({"application_name": f"millpond {os.getpid()}"} if named else {}),
            "options": f"-csearch_path={self.search_path}",
            "sslmode": self.sslmode,
            "gssencmode": "disable",
            "connect_timeout": "30",
        }
        secret = quote(self.password.get_secret_value(), safe="")
        return (
            f"{scheme}://{self.role}:{secret}@{self.host}:{self.port}/{self.name}"
            f"?{urlencode(parameters, quote_via=quote)}"
        )


@dataclass(frozen=True)
class Databases:
    """Every database of the installation."""

    dagster: Database
    catalog: Database
    ops: Database
    marts: Database
    marts_readonly: Database


current_databases: set[Database] = set()
"""Databases whose schema this process found to be of this release's version."""
_running: dict[tuple[int, Path], tuple[Server, Databases]] = {}


def databases() -> Databases:
    """Return the databases of this home; starts and provisions the embedded server if it does not run.

    Takes well under a millisecond if it runs. Raises EmbeddedPartError if it cannot be started.
    """
    configured = settings()
    if configured.scale:
        return _configured_databases(configured)
    key = (os.getpid(), configured.home)
    if (known := _running.get(key)) and known[0].alive:
        return known[1]
    home = layout(configured)
    server = find_server(home)
    if server is None or not is_provisioned(data_folder(home), _marker(home)):
        server = _start_server(home, configured.postgres_port)
    _running[key] = server, _embedded_databases(home, server)
    return _running[key][1]


def open_home(home: Home) -> Databases:
    """Return the databases of another home than that of the settings; starts its server on a free port."""
    return _embedded_databases(home, _start_server(home, 0))


def refuse_other_version() -> None:
    """Raise HomeTooNew for a home of a newer release; migrate an older one, or raise HomeTooOld.

    Needed only where no other database is connected to; free once this process has done so.
    """
    if databases().ops not in current_databases:
        databases().ops.connect().close()


def _migrate() -> None:
    for key in SCHEMAS:
        with getattr(databases(), key).connect_as_it_is() as connection:
            migrate(connection, key)


def connect_dagster_if_running(home: Home) -> psycopg.Connection[Any] | None:
    """Return a connection to Dagster's database; None if the embedded server does not run.

    Starts nothing. Raises ServerUnreachable, psycopg.OperationalError.
    """
    if settings().scale:
        return databases().dagster.connect()
    server = find_server(home)
    return connect_superuser(home, server, "dagster") if server else None


def connect_superuser(home: Home, server: Server, database: str) -> psycopg.Connection[Any]:
    """Return a superuser connection through the server's private socket, for provisioning and tests."""
    return psycopg.connect(
        host=str(server.sockets),
        port=server.port,
        user=SUPERUSER,
        password=read_passwords(home)[SUPERUSER].get_secret_value(),
        dbname=database,
        sslmode="disable",
        gssencmode="disable",
        connect_timeout=round(_CONNECT_SECONDS),
        application_name=f"millpond {os.getpid()}",
    )


def _start_server(home: Home, port: int) -> Server:
    with exclusive(home.run / "postgres.lock", doing="starting Postgres") as lock:
        try:
            server = find_server(home) or postgres.start(home, port, lock)
            _provision(home, server)
        except (OSError, psycopg.Error) as error:
            raise EmbeddedPartError(
                f"the embedded Postgres in {home.postgres} cannot be used: {error}",
                unharmed="the data",
                next_step=f"fix the cause and try again; its log is {home.logs / 'postgres.log'}",
            ) from error
        return server


def _provision(home: Home, server: Server) -> None:
    data, marker = data_folder(home), _marker(home)
    if not is_provisioned(data, marker):
        provision(lambda name: connect_superuser(home, server, name), read_passwords(home), shared=False)
        mark_provisioned(data, marker)


def connect_administrator(configured: Settings, database: str) -> psycopg.Connection[Any]:
    """Return a connection of the administrator to your own Postgres. Raises ServerUnreachable."""
    secret = configured.postgres_admin_password
    try:
        return psycopg.connect(
            host=configured.postgres_host,
            port=configured.postgres_port,
            user=configured.postgres_admin_user,
            password=secret.get_secret_value() if secret else None,
            dbname=database,
            sslmode=configured.postgres_sslmode,
            gssencmode="disable",
            connect_timeout=round(_CONNECT_SECONDS),
            application_name=f"millpond {os.getpid()}",
        )
    except psycopg.OperationalError as error:
        raise ServerUnreachable(
            f"{configured.postgres_admin_user} cannot connect to database {database} of Postgres at "
            f"{configured.postgres_host}:{configured.postgres_port}: {str(error).strip()}",
            unharmed="everything: nothing was changed",
            next_step="check that it runs, and MILLPOND_POSTGRES_ADMIN_USER and …_ADMIN_PASSWORD",
        ) from error


def _connection_error(database: Database, error: psycopg.OperationalError) -> EmbeddedPartError:
    if database.host != _LOOPBACK or settings().scale:
        return ServerUnreachable(
            f"{database.role} cannot connect to database {database.name} of Postgres at "
            f"{database.host}:{database.port}: {str(error).strip()}",
            unharmed="everything: nothing was changed",
            next_step="check that it runs and that `millpond provision` was run; the role's password is "
            f"MILLPOND_POSTGRES_{database.role.removeprefix('millpond_').upper()}_PASSWORD",
        )
    return EmbeddedPartError(
        f"{database.role} cannot connect to database {database.name} of the embedded Postgres:"
        f" {str(error).strip()}",
        unharmed="everything: nothing was changed",
        next_step="if all connections are in use, end what uses them; else `millpond down` and try again",
    )


def _marker(home: Home) -> Path:
    return home.postgres / "provisioned"


def _embedded_databases(home: Home, server: Server) -> Databases:
    return _build_databases(read_passwords(home), _LOOPBACK, server.port, "disable")


def _configured_databases(configured: Settings) -> Databases:
    host = configured.postgres_host or ""
    return _build_databases(
        configured.role_passwords, host, configured.postgres_port, configured.postgres_sslmode
    )


def _build_databases(secrets: Mapping[str, SecretStr], host: str, port: int, sslmode: str) -> Databases:
    for password in secrets.values():
        register(password.get_secret_value())

    def database(key: str, name: str, role: str, search_path: str) -> Database:
        return Database(key, name, role, secrets[role], port, search_path, host, sslmode)

    return Databases(
        dagster=database("dagster", "dagster", "millpond_dagster", "public"),
        catalog=database("catalog", "lake", "millpond_catalog", "catalog"),
        ops=database("ops", "lake", "millpond_ops", "ops"),
        marts=database("marts", "marts", "millpond_marts", "marts"),
        marts_readonly=database("marts_readonly", "marts", "millpond_read", "marts"),
    )
