"""The databases of this installation, each under a role of its own; the server starts on demand."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from pydantic import SecretStr

from millpond.errors import EmbeddedPartError
from millpond.runtime import postgres
from millpond.runtime.home import Home, layout
from millpond.runtime.locks import exclusive
from millpond.runtime.passwords import SUPERUSER, passwords
from millpond.runtime.postmaster import Server, data_folder, found
from millpond.runtime.provisioning import is_provisioned, provision
from millpond.settings import settings

_HOST = "127.0.0.1"
_CONNECT_SECONDS = 10.0
_PASSING = ("refused", "too many clients", "slots are reserved", "starting up", "shutting down", "closed the")
"""What the server or its absence says when another try may do; its messages are always English."""


@dataclass(frozen=True)
class Database:
    """A database as one role sees it."""

    key: str
    name: str
    role: str
    password: SecretStr
    port: int
    search_path: str

    @property
    def uri(self) -> SecretStr:
        """The address as libpq, psycopg and DuckDB take it: `postgresql://…`; holds the password."""
        return SecretStr(self._address("postgresql"))

    @property
    def sqlalchemy_uri(self) -> SecretStr:
        """The address as SQLAlchemy takes it, for psycopg 3; holds the password."""
        return SecretStr(self._address("postgresql+psycopg"))

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a new connection.

        Starts the server if it is gone, and waits some seconds for a free connection if all are taken.
        Raises EmbeddedPartError if that does not help.
        """
        deadline = time.monotonic() + _CONNECT_SECONDS
        database, pause = self, 0.02
        while True:
            try:
                return psycopg.connect(database.uri.get_secret_value(), **options)
            except psycopg.OperationalError as error:
                passing = database.port != self.port or any(text in str(error) for text in _PASSING)
                if not passing or time.monotonic() > deadline:
                    raise _no_connection(database, error) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
            database = getattr(databases(), self.key)

    def _address(self, scheme: str) -> str:
        parameters = {
            "application_name": f"millpond {os.getpid()}",
            "options": f"-csearch_path={self.search_path}",
            "sslmode": "disable",
            "gssencmode": "disable",
            "connect_timeout": "30",
        }
        secret = quote(self.password.get_secret_value(), safe="")
        return (
            f"{scheme}://{self.role}:{secret}@{_HOST}:{self.port}/{self.name}"
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


_known: dict[tuple[int, Path], tuple[Server, Databases]] = {}


def databases() -> Databases:
    """Return the databases of this home; starts and provisions the server if it does not run.

    Costs well under a millisecond while it does. Raises EmbeddedPartError if it cannot be started.
    """
    configured = settings()
    key = (os.getpid(), configured.home)
    if (known := _known.get(key)) and known[0].alive:
        return known[1]
    home = layout(configured)
    server = found(home)
    if server is None or not is_provisioned(data_folder(home), _marker(home)):
        server = _started(home, configured.postgres_port)
    _known[key] = server, _databases(home, server)
    return _known[key][1]


def superuser(home: Home, server: Server, database: str) -> psycopg.Connection[Any]:
    """Return a connection of the superuser, over the server's private socket; for provisioning and tests."""
    return psycopg.connect(
        host=str(server.sockets),
        port=server.port,
        user=SUPERUSER,
        password=passwords(home)[SUPERUSER].get_secret_value(),
        dbname=database,
        sslmode="disable",
        gssencmode="disable",
        connect_timeout=round(_CONNECT_SECONDS),
        application_name=f"millpond {os.getpid()}",
    )


def _started(home: Home, port: int) -> Server:
    with exclusive(home.run / "postgres.lock", doing="starting Postgres") as lock:
        try:
            server = found(home) or postgres.start(home, port, lock)
            _provision(home, server)
        except (OSError, psycopg.Error) as error:
            raise EmbeddedPartError(
                f"the embedded Postgres in {home.postgres} cannot be used: {error}",
                unharmed="the data",
                next_step=f"mend the cause and try again; the log is {home.logs / 'postgres.log'}",
            ) from error
        return server


def _provision(home: Home, server: Server) -> None:
    data, marker = data_folder(home), _marker(home)
    if not is_provisioned(data, marker):
        provision(lambda name: superuser(home, server, name), passwords(home), data, marker)


def _no_connection(database: Database, error: psycopg.OperationalError) -> EmbeddedPartError:
    return EmbeddedPartError(
        f"the embedded Postgres gives {database.role} no connection to {database.name}: {str(error).strip()}",
        unharmed="everything: nothing was asked of it yet",
        next_step="if all connections are taken, end what holds them; else `millpond down` and try again",
    )


def _marker(home: Home) -> Path:
    return home.postgres / "provisioned"


def _databases(home: Home, server: Server) -> Databases:
    secrets = passwords(home)

    def database(key: str, name: str, role: str, search_path: str) -> Database:
        return Database(key, name, role, secrets[role], server.port, search_path)

    return Databases(
        dagster=database("dagster", "dagster", "millpond_dagster", "public"),
        catalog=database("catalog", "lake", "millpond_catalog", "catalog"),
        ops=database("ops", "lake", "millpond_ops", "ops"),
        marts=database("marts", "marts", "millpond_marts", "marts"),
        marts_readonly=database("marts_readonly", "marts", "millpond_read", "marts"),
    )
